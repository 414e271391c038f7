from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import pytest

import prebake.store.fallback
from prebake.errors import PackDamaged, PackError, PackFormatError
from prebake.store import CODECS, Pack, layout, verify_pack
from store.packs import FAILURES, images, kernel_2019, write

codecs = pytest.mark.parametrize("codec", CODECS)
PIXELS = images(12)


@codecs
def test_verify_names_each_image_with_a_flipped_bit(tmp_path: Path, codec: str) -> None:
    path = write(tmp_path / "p.h5", PIXELS, codec)
    pack, data = Pack(path), bytearray(path.read_bytes())
    for i in (2, 9):
        view = pack.encoded(i)
        assert view is not None
        data[bytes(data).find(bytes(view)) + len(view) // 2] ^= 1
    path.write_bytes(data)
    assert Pack(path).verify() == ["id0002", "id0009"]
    with pytest.raises(PackDamaged, match="2 of 12 images are damaged: id0002, id0009") as caught:
        verify_pack(path)
    assert caught.value.ids == ("id0002", "id0009")


@codecs
@pytest.mark.parametrize(
    "what", [b"id0003", b"patient1", b"codec_reason", b"kernel", b"broken", b"%032x" % 7, b"train/"]
)
def test_opening_finds_damage_outside_the_pixels(tmp_path: Path, codec: str, what: bytes) -> None:
    path = write(tmp_path / "p.h5", PIXELS, codec, failures=FAILURES)
    if what == b"codec_reason":
        what = b'"name":"'
    data = path.read_bytes()
    assert what in data
    path.write_bytes(data.replace(what, what[:-1] + bytes([what[-1] ^ 1]), 1))
    with pytest.raises(PackDamaged, match="digest does not match"):
        Pack(path)


@pytest.mark.parametrize("kind", [*CODECS, "kernel2019"])
def test_a_file_that_was_cut_short_is_refused_wherever_it_was_cut(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "p.h5"
    data = (write(path, PIXELS, kind) if kind in CODECS else kernel_2019(path, PIXELS)).read_bytes()
    for length in [*range(0, 100, 9), *range(100, len(data), 499), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises((PackFormatError, PackDamaged)):
            Pack(path)


@pytest.mark.parametrize("kind", [*CODECS, "kernel2019", "hdf5"])
def test_random_damage_is_found_or_changes_nothing(tmp_path: Path, kind: str) -> None:
    path, rng = tmp_path / "p.h5", np.random.default_rng(3)
    bare = (
        kernel_2019(path, PIXELS[:3], **({"chunks": (2, 8, 8, 3)} if kind == "hdf5" else {}))
        if kind not in CODECS
        else None
    )
    data = (bare or write(path, PIXELS[:3], kind, failures=FAILURES)).read_bytes()
    for _ in range(60):
        damaged = np.frombuffer(data, np.uint8).copy()
        damaged[rng.integers(len(data))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            pack = Pack(path)
            if not pack.verify() and kind in CODECS:
                assert (pack.read(range(3)) == PIXELS[:3]).all()
                assert pack.ids == ["id0000", "id0001", "id0002"]
                assert pack.failures == FAILURES
        except (PackFormatError, PackDamaged):
            continue


def test_what_is_no_pack_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="there is no such file"):
        Pack(tmp_path / "none.h5")
    with pytest.raises(PackFormatError, match="a folder"):
        Pack(tmp_path)
    for name, data in (("empty", b""), ("text", b"id_code,label\n" * 100)):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(PackFormatError, match="not a pack"):
            Pack(tmp_path / name)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(PackFormatError, match="no dataset 'images'"):
        Pack(tmp_path / "other.h5")


def test_a_newer_format_is_refused_with_the_version_that_reads_it(tmp_path: Path) -> None:
    path = write(tmp_path / "p.h5", PIXELS, "raw")
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = np.int64(2)
        file.attrs["needs"] = np.bytes_("7.5.0")
    with pytest.raises(PackFormatError, match=re.escape("needs prebake >= 7.5.0")):
        Pack(path)


@codecs
def test_a_column_that_the_format_does_not_know_is_ignored(tmp_path: Path, codec: str) -> None:
    path = write(tmp_path / "p.h5", PIXELS, codec)
    with h5py.File(path, "r+") as file:
        file["quality"] = np.arange(12)
        file.attrs["note"] = "mine"
    assert (Pack(path).read(range(12)) == PIXELS).all()


# ------------------------------------------------------------------------------------ strangers' files


@pytest.mark.parametrize(
    ("name", "value"),
    [("recipe", "[1]"), ("recipe", "["), ("recipe", "[" * 20_000), ("recipe_digest", "zz"), ("codec", "jpeg"),
     ("extra", "3"), ("extra", '{"codec_reason":5}')],
)  # fmt: skip
def test_attributes_that_say_nothing_sensible_are_refused_though_their_digest_matches(tmp_path, name, value):
    path = write(tmp_path / "p.h5", PIXELS, "raw")
    with h5py.File(path, "r+") as file:
        file.attrs[name] = np.bytes_(value)
        attributes = {key: bytes(np.bytes_(file.attrs[key])).decode() for key in layout.TEXT_ATTRIBUTES}
        columns = {column.name: file[column.name][()] for column in layout.COLUMNS}
        columns |= {f"failures/{c.name}": file["failures"][c.name][()] for c in layout.FAILURE_COLUMNS}
        file.attrs["columns_digest"] = np.bytes_(layout.columns_digest(attributes, PIXELS.shape, columns))
    with pytest.raises(PackFormatError, match=name.replace("_", " ")):
        Pack(path)


def _bare(path: Path, images_: object, ids: object = ("a",)) -> Path:
    with h5py.File(path, "w") as file:
        if isinstance(images_, h5py.VirtualLayout):
            file.create_virtual_dataset("images", images_)
        elif images_ is not None:
            file["images"] = images_
        if ids is not None:
            file["id_code"] = ids
    return path


def test_data_outside_of_the_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(PIXELS[:1]))
    other = _bare(tmp_path / "other.h5", PIXELS[:1])
    virtual = h5py.VirtualLayout((1, 8, 8, 3), "u1")
    virtual[:] = h5py.VirtualSource(other, "images", (1, 8, 8, 3))
    _bare(tmp_path / "virtual.h5", virtual)
    _bare(tmp_path / "link.h5", h5py.ExternalLink(other, "images"))
    _bare(tmp_path / "soft.h5", h5py.SoftLink("/id_code"))
    _bare(tmp_path / "ids.h5", PIXELS[:1], h5py.ExternalLink(other, "id_code"))
    with h5py.File(_bare(tmp_path / "storage.h5", None), "r+") as file:
        file.create_dataset("images", (1, 8, 8, 3), "u1", external=[(str(tmp_path / "secret"), 0, 192)])
    for name in ("virtual", "link", "soft", "ids", "storage"):
        with pytest.raises(PackFormatError, match=r"other files|elsewhere"):
            Pack(tmp_path / f"{name}.h5")


def test_shapes_that_lie_take_no_memory(tmp_path: Path) -> None:
    def lying(name: str, shape: tuple[int, ...], ids: tuple[int, ...], **options: object) -> Path:
        with h5py.File(tmp_path / name, "w") as file:
            data = file.create_dataset("images", shape, "u1", **options)
            if options:
                data.id.write_direct_chunk((0, 0, 0, 0), b"x")
            file.create_dataset("id_code", ids, "S12")
        return tmp_path / name

    huge = 2**40
    for path in (
        lying("a.h5", (huge, 8, 8, 3), (huge,)),
        lying("b.h5", (huge, 8, 8, 3), (huge,), chunks=(1, 8, 8, 3), compression="gzip"),
        lying("c.h5", (1, huge, 8, 3), (1,)),
        lying("d.h5", (1, 2**15, 2**15, 3), (1,), chunks=(1, 2**15, 2**15, 3), compression="gzip"),
        lying("e.h5", (2**31, 1, 1, 1), (2**31,), chunks=(2**31, 1, 1, 1), compression="gzip"),
    ):
        with pytest.raises((PackFormatError, PackDamaged)):
            Pack(path)


@pytest.mark.parametrize(
    ("pixels", "ids"),
    [
        (PIXELS.astype(np.float32), ["a"] * 12),
        (PIXELS[0], ["a"] * 8),
        (PIXELS, ["a"] * 11),
        (PIXELS, np.arange(12)),
        (PIXELS.view(np.int8), ["a"] * 12),
    ],
)
def test_images_and_ids_of_another_kind_are_refused(tmp_path: Path, pixels: np.ndarray, ids: object) -> None:
    with pytest.raises(PackFormatError):
        Pack(_bare(tmp_path / "p.h5", pixels, ids))


def test_an_id_that_is_no_text_is_said(tmp_path: Path) -> None:
    pack = Pack(_bare(tmp_path / "p.h5", PIXELS[:1], np.array([b"\xff\xfe"])))
    with pytest.raises(PackFormatError, match="not UTF-8"):
        _ = pack.ids


def test_a_filter_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = kernel_2019(tmp_path / "k.h5", PIXELS, compression="lzf", compression_opts=None)
    monkeypatch.setattr(prebake.store.fallback.h5py.h5z, "filter_avail", lambda number: False)
    with pytest.raises(PackFormatError, match="HDF5 filter 32000, which is not installed"):
        Pack(path)


def test_stray_output_of_hdf5_does_not_reach_the_user(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "p.h5", PIXELS, "zstd")
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises((PackFormatError, PackDamaged)):
        Pack(path)
    assert capfd.readouterr() == ("", "")
