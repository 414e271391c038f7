"""What stands in a photograph beside its pixels (names, numbers of patients) reaches nothing that prebake writes."""

from __future__ import annotations

import base64
import io
import logging
import os
import re
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, PngImagePlugin, TiffImagePlugin

from prebake.decode import decode
from prebake.errors import DecodeError

if TYPE_CHECKING:
    import pytest
    from numpy.typing import NDArray

MARKER = "PATIENT-4711"
TEXT = f"{MARKER} ".encode() * 3
CODES = ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le")
SPELLINGS = (MARKER[::-1].encode(), *(MARKER.encode(code) for code in CODES))
ROOT = Path(__file__).resolve().parents[1]


def picture(seed: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).integers(0, 256, (60, 80, 3), np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2)  # type: ignore[return-value]


PICTURE = picture(5)


def exif() -> bytes:
    """Texts in all directories of an EXIF block, a maker note, and a thumbnail that has a comment itself."""
    block = Image.Exif()
    for tag in (0x010D, 0x010E, 0x010F, 0x0110, 0x0131, 0x013B, 0x8298):
        block[tag] = TEXT.decode()
    for tag in (0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F):  # of Windows, in UTF-16
        block[tag] = MARKER.encode("utf-16-le")
    inner = block.get_ifd(0x8769)
    inner.update({0x9286: b"ASCII\0\0\0" + TEXT, 0x927C: TEXT, 0xA420: TEXT.decode(), 0xA431: TEXT.decode()})
    block.get_ifd(0x8825)[0x001D] = TEXT.decode()
    return block.tobytes()


def profile() -> bytes:
    """A colour profile, not a good one, too random to be compressed."""
    return struct.pack(">I", 400) + np.random.default_rng(1).bytes(296) + TEXT + bytes(100 - len(TEXT))


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def jpegs(image: NDArray[np.uint8] = PICTURE) -> Iterator[bytes]:
    for options in ([], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]):
        data = cv2.imencode(".jpg", image, options)[1].tobytes()
        segments = segment(0xE0, b"JFXX\0\x10" + TEXT) + segment(0xE1, exif())
        segments += segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + TEXT)
        segments += segment(0xE2, b"ICC_PROFILE\0\x01\x01" + profile()) + segment(0xFE, TEXT)
        segments += segment(0xED, b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(TEXT)) + TEXT)
        segments += b"".join(segment(marker, TEXT) for marker in range(0xE3, 0xF0))
        yield data[:2] + segments + data[2:-2] + segment(0xFE, TEXT) + data[-2:] + TEXT


def pngs() -> Iterator[bytes]:
    before = [
        chunk(b"tEXt", b"Comment\0" + TEXT),
        chunk(b"tEXt", TEXT[:12] + b"\0" + TEXT),
        chunk(b"tEXt", TEXT * 4),  # no end of the keyword
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(TEXT)),
        chunk(b"zTXt", TEXT[:12] + b"\0\0" + TEXT),  # not compressed
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + TEXT),
        chunk(b"iTXt", TEXT[:12] + b"\0\x01\0\0\0" + zlib.compress(TEXT)),
        chunk(b"sPLT", TEXT[:12] + b"\0\x08" + TEXT),
        chunk(b"pCAL", TEXT[:12] + b"\0" + TEXT),
        chunk(b"eXIf", exif()[6:]),
        chunk(b"paTi", TEXT),
    ]
    profiles = [chunk(b"iCCP", TEXT[:12] + b"\0\0" + zlib.compress(profile())), chunk(b"iCCP", TEXT)]
    kinds = [PICTURE, PICTURE.astype(np.uint16) * 257, PICTURE[..., 0], np.dstack((PICTURE, PICTURE[..., :1]))]
    for kind in kinds:
        data = cv2.imencode(".png", kind)[1].tobytes()
        for more in profiles:
            for extra in ([more], [more, *before], [more, *(part for part in before if part[4:8] != b"eXIf")]):
                yield (
                    data[:33] + b"".join(extra) + data[33:-12] + chunk(b"tEXt", b"Author\0" + TEXT) + data[-12:] + TEXT
                )


def tiffs() -> Iterator[bytes]:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag in (269, 270, 271, 272, 285, 305, 306, 315, 316, 337, 33432, 42112, 65000):
        tags[tag] = TEXT.decode()
        tags.tagtype[tag] = 2
    for tag in (700, 33723, 34377, 34675, 37724, 65001):
        tags[tag] = TEXT
        tags.tagtype[tag] = 7
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate"):
        file = io.BytesIO()
        Image.fromarray(PICTURE).save(file, "TIFF", tiffinfo=tags, compression=compression)
        yield file.getvalue() + TEXT


def broken(data: bytes, random: np.random.Generator) -> Iterator[bytes]:
    """Give the file cut off, and with bits turned where lengths, types and names stand."""
    yield data[: len(data) // 2]
    yield data[: data.index(MARKER.encode()) + 30]
    for _ in range(6):
        changed = bytearray(data)
        for _ in range(4):
            changed[int(random.integers(2, len(data)))] ^= 1 << int(random.integers(8))
        place = changed.find(MARKER.encode(), int(random.integers(len(data))))
        changed[place - int(random.integers(1, 12))] ^= 0x7F
        yield bytes(changed)


def files() -> dict[str, bytes]:
    random = np.random.default_rng(11)
    found = {"text.jpg": TEXT * 20, "text.png": b"\x89PNG\r\n\x1a\n" + TEXT * 20, "text.tif": b"II*\0" + TEXT * 20}
    for suffix, made in ((".jpg", jpegs()), (".png", pngs()), (".tif", tiffs())):
        for number, data in enumerate(made):
            found[f"good-{number}{suffix}"] = data
            for way, damaged in enumerate(broken(data, random)):
                found[f"bad-{number}-{way}{suffix}"] = damaged
    return found


FILES = files()
SCRIPT = """
import logging, sys
logging.basicConfig(level=logging.DEBUG)
from prebake.cli import main
for line in sys.stdin:
    print(line, main(line.rstrip("\\n").split("\\t")))
"""
KEEPING_CHECKPOINTS = """
import shutil
from prebake.training import watch
save = watch.Checkpoints._save
def save_and_keep(self, trainer):
    save(self, trainer)
    shutil.copy(watch.checkpoint_path(self.folder), "output/last.ckpt")
watch.Checkpoints._save = save_and_keep
"""
DAMAGING = """
from pathlib import Path
from prebake.store import Pack
data, pack = bytearray(Path("output/pack.h5").read_bytes()), Pack("output/pack.h5")
for row in range(0, len(pack), 2):
    at = data.index(pack.encoded(row))
    data[at + 9] ^= 1
pack.close()
Path("output/pack.h5").write_bytes(data)
"""
TRAINING = "--model test_efficientnet --weights none --epochs 1 --batch-size 16 --threads 1"


def test_every_file_says_it_before_and_the_good_ones_are_pictures() -> None:
    assert all(MARKER.encode() in data for name, data in FILES.items() if "good" in name)
    for name, data in FILES.items():
        if name.startswith("good"):
            assert decode(data).image.shape == (60, 80, 3), name


def test_decoding_says_nothing_of_it(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    messages = []
    for data in FILES.values():
        try:
            decode(data)
        except DecodeError as error:
            messages.append(repr(error))
    assert len(messages) > 50
    assert not said("".join([*messages, *capfd.readouterr(), caplog.text]).encode())


def said(data: bytes) -> bool:
    """Whether the marker stands there: as it is, in UTF-16, compressed into a PNG, PDF or ZIP, or as a data URI."""
    if any(spelling in data for spelling in SPELLINGS):
        return True
    if data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if any(said(archive.read(name)) for name in archive.namelist()):
                return True
    for uri in re.findall(rb"base64,([A-Za-z0-9+/=]+)", data):
        if said(base64.b64decode(uri)):
            return True
    for start in (found.start() for found in re.finditer(rb"\x78[\x01\x5e\x9c\xda]", data)):
        try:
            unpacked = zlib.decompressobj().decompress(data[start:], 1 << 20)
        except zlib.error:
            continue
        if any(spelling in unpacked for spelling in SPELLINGS):
            return True
    return False


def test_the_search_finds_it_wherever_it_may_hide() -> None:
    assert said(b"abc" + TEXT)
    assert said(f"x{MARKER}".encode("utf-16"))
    assert said(b"src='data:image/png;base64," + base64.b64encode(b"ab" + TEXT) + b"'")
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", MARKER, zip=True)
    file = io.BytesIO()
    Image.fromarray(PICTURE).save(file, "PNG", pnginfo=text)
    assert MARKER.encode() not in file.getvalue()
    assert said(file.getvalue())
    file = io.BytesIO()
    np.savez_compressed(file, words=np.array([MARKER]))
    assert MARKER.encode("utf-32-le") not in file.getvalue()
    assert said(file.getvalue())
    assert not said(os.urandom(100_000))


def lay_out(folder: Path) -> None:
    """Write the photographs into folders that are labels, and make room for what commands write."""
    more = {f"other-{seed}.jpg": next(jpegs(picture(seed))) for seed in range(100, 124)}
    for number, (name, data) in enumerate((FILES | more).items()):
        path = folder / "photographs" / str(number % 2) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder / "output").mkdir()


def require_silence(folder: Path, commands: dict[str, int], before: str = "") -> None:
    """Run commands in one process, compare their exit codes; neither they nor what they write may say it."""
    done = subprocess.run(
        [sys.executable, "-c", before + SCRIPT],
        input="".join(f"{command}\n".replace(" ", "\t") for command in commands).encode(),
        capture_output=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        check=True,
    )
    codes = [int(line.split()[-1]) for line in done.stdout.decode().splitlines() if re.fullmatch(r" ?\d+", line)]
    assert codes == list(commands.values()), done.stderr.decode()
    assert not said(done.stdout + done.stderr)
    for path in (folder / "output").rglob("*"):
        assert not path.is_file() or not said(path.read_bytes()), path


def written(folder: Path) -> set[str]:
    return {path.relative_to(folder / "output").as_posix() for path in (folder / "output").rglob("*")}


def test_pack_log_messages_pictures_and_pages_say_nothing_of_it(tmp_path: Path) -> None:
    lay_out(tmp_path)
    commands = {
        "pack photographs -o output/refused.h5 --size 32 --codec raw": 1,
        "pack photographs -o output/pack.h5 --size 32 --codec raw --on-error skip": 0,
        "info output/pack.h5": 0,
        "info output/pack.h5 --json": 0,
        "verify output/pack.h5": 0,
        "show output/pack.h5 -o output/grid.png --before photographs --count 40": 0,
        "audit output/pack.h5 -o output/audit.html": 0,
        "audit output/pack.h5 --json": 0,
        "split output/pack.h5 -o output/folds.csv --folds 2": 0,
    }
    require_silence(tmp_path, commands)
    assert {"pack.h5", "grid.png", "audit.html", "folds.csv"} < written(tmp_path)


def test_runs_checkpoints_predictions_explanations_reports_and_repaired_packs_say_nothing_of_it(tmp_path: Path) -> None:
    lay_out(tmp_path)
    commands = {
        "pack photographs -o output/pack.h5 --size 64 --codec raw --on-error skip": 0,
        f"train output/pack.h5 -o output/run {TRAINING} --checkpoint-minutes 0.0000001 --logger tensorboard": 0,
        f"cv output/pack.h5 -o output/cv --folds 2 {TRAINING}": 0,
        "predict output/run photographs -o output/refused.csv": 1,
        "predict output/cv photographs -o output/predictions.csv --on-error skip": 0,
        "explain output/run output/pack.h5 -o output/explained --source photographs --count 4": 0,
        "explain output/run photographs -o output/refused": 1,
        "report output/run": 0,
        "report output/cv --source photographs": 0,
    }
    require_silence(tmp_path, commands, KEEPING_CHECKPOINTS)
    require_silence(tmp_path, {"verify output/pack.h5": 1, "repair output/pack.h5 photographs": 0}, DAMAGING)
    names = {"last.ckpt", "run/best.safetensors", "run/worst.npz", "run/report.html", "cv/oof.csv", "cv/report.html"}
    assert names | {"predictions.csv"} < written(tmp_path)
    for kind in ("run/logs/*tfevents*", "explained/*.png"):
        assert list((tmp_path / "output").glob(kind)), kind
