"""Repair: only the damaged images are baked again, and the pack has the bytes it had."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest

import packing_helpers as helpers
import prebake
from packing_helpers import moody, photograph, photographs, recipe, shrink
from prebake.cli import main
from prebake.errors import PackDamaged, PackError, PackFailures, PackFormatError, PackLocked, TableError
from prebake.packing import pack, repair
from prebake.packing.folder import WorkFolder
from prebake.store import CODECS, Pack
from store.packs import images, kernel_2019

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = (
    "import sys; from prebake.packing import repair; from prebake.recipe import allow_function\n"
    "for name in ('slowly', 'very_slowly'): allow_function(f'packing_helpers:{name}')\n"
    "print(repair(sys.argv[1], sys.argv[2], workers=1), flush=True)"
)
codecs = pytest.mark.parametrize("codec", CODECS)


def flip(path: Path, rows: Sequence[int]) -> bytes:
    """Turn a bit in each of these images; return the bytes that the file has now."""
    data = bytearray(path.read_bytes())
    with Pack(path) as opened:
        for row in rows:
            view = opened.encoded(row)
            assert view is not None
            data[int(opened._open.offsets[row]) + len(view) // 2] ^= 1
    path.write_bytes(data)
    return bytes(data)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return photographs(tmp_path / "photos", range(12))


def made(tmp_path: Path, source: Path, codec: str = "raw", function=shrink) -> tuple[Path, bytes]:
    path = tmp_path / "pack.h5"
    pack(source, path, recipe=recipe(function), codec=codec, workers=1)
    shutil.rmtree(tmp_path / ".pack.h5.prebake")
    return path, path.read_bytes()


# ------------------------------------------------------------------ what comes out


@codecs
def test_only_damaged_images_are_baked_again_and_the_bytes_are_those_of_before(tmp_path, source, codec, monkeypatch):
    path, before = made(tmp_path, source, codec)
    assert flip(path, [2, 3, 9]) != before
    monkeypatch.setenv(helpers.LOG, str(tmp_path / "log"))
    assert prebake.repair(path, source, workers=1) == ["p002", "p003", "p009"]
    assert path.read_bytes() == before
    assert (tmp_path / "log").read_text().split() == ["2", "3", "9"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["log", "pack.h5", "photos"]


@codecs
@pytest.mark.parametrize("name", ["kernel", "crop"])
def test_real_photographs_come_out_with_the_same_bytes(tmp_path, idrid, codec, name):
    source, path = tmp_path / "photos", tmp_path / "pack.h5"
    source.mkdir()
    for photo in sorted(idrid.rglob("*.jpg"))[::60]:
        (source / f"{photo.parent.name[0]}{photo.name}").symlink_to(photo)
    opened = pack(source, path, recipe=name, codec=codec, workers=2)
    assert len(opened) >= 6
    before = path.read_bytes()
    flip(path, [0, 4])
    assert repair(path, source, workers=2) == [opened.ids[0], opened.ids[4]]
    assert path.read_bytes() == before


def test_failures_labels_and_the_order_stay_and_photographs_that_are_not_needed_may_be_gone(tmp_path, source):
    photograph(source / "p250.png", 250)
    (source / "train.csv").write_text("id_code,diagnosis\n" + "".join(f"p{i:03d},{i % 5}\n" for i in (*range(12), 250)))
    path = tmp_path / "pack.h5"
    pack(source, path, recipe=recipe(), codec="zstd", workers=1, on_error="skip")
    before = path.read_bytes()
    flip(path, [7])
    (source / "train.csv").unlink()
    for gone in (3, 250):
        (source / f"p{gone:03d}.png").unlink()
    assert repair(path, source, workers=1) == ["p007"]
    assert path.read_bytes() == before


def test_a_chunk_index_that_tells_a_wrong_size_is_put_right_too(tmp_path, source):
    path, before = made(tmp_path, source, "zstd")
    data, size = bytearray(before), int(Pack(path)._open.sizes[4])
    entry = size.to_bytes(4, "little") + bytes(4) + (4).to_bytes(8, "little")
    at = data.index(entry)
    data[at] ^= 1 if size & 1 else 2
    if int.from_bytes(data[at : at + 4], "little") > size:
        data[at : at + 4] = (size - 3).to_bytes(4, "little")
    path.write_bytes(data)
    assert repair(path, source, workers=1) == ["p004"]
    assert path.read_bytes() == before


def test_a_photograph_is_found_by_its_path_where_ids_have_become_others(tmp_path, source):
    path, before = made(tmp_path, source)
    flip(path, [5])
    other = photographs(tmp_path / "others", [99])  # with two sources, ids begin with the name of the source
    assert repair(path, [source, other], workers=1) == ["p005"]
    assert path.read_bytes() == before


def test_nothing_is_written_where_nothing_is_damaged(tmp_path, source):
    path, _ = made(tmp_path, source)
    stat = path.stat()
    assert repair(path, tmp_path / "no such folder") == []
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (stat.st_mtime_ns, stat.st_ino)


def test_permissions_stay_and_a_link_stays_a_link(tmp_path, source):
    path, before = made(tmp_path, source)
    flip(path, [1])
    path.chmod(0o640)
    link = tmp_path / "link.h5"
    link.symlink_to(path)
    repair(link, source, workers=1)
    assert link.is_symlink()
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (before, 0o640)


def test_the_command_says_what_it_did(tmp_path, source, capsys):
    path, before = made(tmp_path, source)
    flip(path, [1, 4])
    assert main(["verify", str(path)]) == 1
    assert f"prebake repair {path} SOURCE..." in capsys.readouterr().err
    assert main(["repair", str(path), str(source), "-j", "1"]) == 0
    assert "baked 2 damaged images again, verified: p001, p004" in capsys.readouterr().out
    assert path.read_bytes() == before
    assert main(["repair", str(path), str(source)]) == 0
    assert "nothing is damaged" in capsys.readouterr().out


# ------------------------------------------------------------------ what is refused


def test_sources_that_have_changed_or_are_gone_are_refused_all_at_once(tmp_path, source):
    path, _ = made(tmp_path, source)
    damaged = flip(path, [2, 3, 4])
    photograph(source / "p002.png", 77)
    (source / "p003.png").unlink()
    with pytest.raises(TableError) as caught:
        repair(path, source, workers=1)
    changed, gone = caught.value.problems
    assert changed.startswith("p002 (photos/p002.png) has changed: digest ")
    assert Pack(path).source_digest[2] in changed
    assert gone == "p003 (photos/p003.png) is not in the sources"
    assert "prebake pack SOURCE..." in str(caught.value)
    assert path.read_bytes() == damaged


def test_pixels_that_come_out_otherwise_are_refused(tmp_path, source, monkeypatch):
    path, _ = made(tmp_path, source, function=moody)
    damaged = flip(path, [2])
    monkeypatch.setenv(helpers.MOOD, "1")
    with pytest.raises(PackError, match="come out other than they were packed: p002"):
        repair(path, source, workers=1)
    assert path.read_bytes() == damaged


def test_a_photograph_that_cannot_be_baked_again_is_named_and_the_next_call_tries_again(tmp_path, source, monkeypatch):
    path, before = made(tmp_path, source, function=moody)
    damaged = flip(path, [2, 3])
    monkeypatch.setenv(helpers.MOOD, "bad")
    with pytest.raises(PackFailures, match="in no mood") as caught:
        repair(path, source, workers=1)
    assert [failure.id for failure in caught.value.failures] == ["p002", "p003"]
    assert path.read_bytes() == damaged
    monkeypatch.delenv(helpers.MOOD)
    repair(path, source, workers=1)
    assert path.read_bytes() == before


@pytest.mark.parametrize("what", [b"p003", b'"name"', b"images"])
def test_damage_beyond_images_is_said_with_the_way_out(tmp_path, source, what):
    path, before = made(tmp_path, source)
    path.write_bytes(before.replace(what, what[:-1] + bytes([what[-1] ^ 1]), 1))
    damaged = path.read_bytes()
    with pytest.raises((PackDamaged, PackFormatError), match="only images can be baked again") as caught:
        repair(path, source, workers=1)
    assert f"move {path} away and pack again" in str(caught.value)
    assert path.read_bytes() == damaged
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["pack.h5", "photos"]


def test_what_is_no_pack_of_ours_is_refused(tmp_path, source):
    with pytest.raises(PackFormatError, match="2019 kernel"):
        repair(kernel_2019(tmp_path / "k.h5", images(3)), source)
    with pytest.raises(PackError, match="there is no such pack"):
        repair(tmp_path / "none" / "pack.h5", source)
    assert not (tmp_path / "none").exists()


def test_what_others_have_put_into_the_pack_is_not_lost_silently(tmp_path, source):
    path, _ = made(tmp_path, source)
    with h5py.File(path, "r+") as file:
        file["quality"], file.attrs["note"] = np.arange(12), "mine"
    flip(path, [2])
    with pytest.raises(PackError, match="got: quality, note"):
        repair(path, source, workers=1)


def test_a_second_process_is_told(tmp_path, source):
    path, _ = made(tmp_path, source)
    flip(path, [2])
    with WorkFolder.held(path):
        done = subprocess.run(
            [sys.executable, "-m", "prebake", "repair", str(path), str(source)],
            capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )  # fmt: skip
    assert done.returncode == 1
    assert f"another process packs to {path}, or repairs it" in done.stderr
    assert f"process {os.getpid()}" in done.stderr
    with WorkFolder.held(path), pytest.raises(PackLocked):
        repair(path, source, workers=1)


# ------------------------------------------------------------------ too long, too much


@pytest.mark.parametrize(
    ("mood", "limit", "reason"),
    [
        ("hang", ("--time-limit", "1.5"), "it took longer than the time limit of 1.5 s"),
        ("take", ("--memory-limit", "0.6"), "it took more memory than the limit of 600.0 MB"),
    ],
)
def test_a_photograph_that_is_over_a_limit_is_named_and_nothing_is_written(
    tmp_path, monkeypatch, capsys, mood, limit, reason
):
    source = photographs(tmp_path / "photos", [1, 2, 3, helpers.DEADLY])
    path, before = made(tmp_path, source, function=moody)
    damaged = flip(path, [1, 3])
    monkeypatch.setenv(helpers.MOOD, mood)
    command = ["repair", str(path), str(source), "-j", "1", "--allow-function", "packing_helpers:moody"]
    assert main([*command, *limit]) == 1
    told = capsys.readouterr().err
    assert "1 of 2 damaged images could not be baked again; the pack is what it was" in told
    assert f"p255  (photos/p255.png): {reason}" in told
    assert path.read_bytes() == damaged
    monkeypatch.delenv(helpers.MOOD)
    assert main(command) == 0
    assert path.read_bytes() == before


# ------------------------------------------------------------------ killed and interrupted


def start(path: Path, source: Path) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(path), str(source)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip


def test_killed_at_any_moment_the_file_is_the_old_or_the_new_one_and_the_next_call_repairs_it(tmp_path, source):
    path, before = made(tmp_path, source, function=helpers.slowly)
    start(path, source).communicate()  # loads everything once
    damaged = flip(path, range(12))
    began = time.monotonic()
    process = start(path, source)
    assert process.communicate()[0].count("p0") == 12
    took = time.monotonic() - began
    assert path.read_bytes() == before
    for part in (0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.97):
        path.write_bytes(damaged)
        process = start(path, source)
        time.sleep(took * part)
        process.kill()
        process.communicate()
        assert path.read_bytes() in (damaged, before)
    path.write_bytes(damaged)
    assert repair(path, source, workers=1) == [f"p{number:03d}" for number in range(12)]
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["pack.h5", "photos"]


def test_an_interrupt_says_that_the_pack_is_what_it_was(tmp_path):
    source = photographs(tmp_path / "photos", range(2))
    path, _ = made(tmp_path, source, function=helpers.very_slowly)
    damaged = flip(path, range(2))
    process = start(path, source)
    end = time.monotonic() + 30
    while not list(tmp_path.glob(".pack.h5.prebake/run-*/*")):
        assert time.monotonic() < end, "it does not begin"
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode != 0
    assert f"{path} is what it was; run the same command again" in errors
    assert path.read_bytes() == damaged
