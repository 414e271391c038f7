"""Packing into several files: how they are cut, what is done again, and what is left where something goes wrong."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import packing_helpers as helpers
import prebake
from packing_helpers import photograph, photographs, recipe
from prebake.errors import OptionError, PackError, PackFailures, PackFormatError, PackLocked
from prebake.packing import pack, repair, set_job
from prebake.packing.folder import WorkFolder
from prebake.packing.set_job import rows_in_file
from prebake.store import ManyPacks, Pack

SIZE = 261_000  # room for 6 images of 16 x 16, see the first test


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "log"
    monkeypatch.setenv(helpers.LOG, str(path))
    return path


def bake(source: Path, target: Path, **options: object) -> ManyPacks:
    given = {"recipe": recipe(), "codec": "raw", "max_pack_size": SIZE, **options}
    with ThreadPoolExecutor(2) as threads:
        return pack(source, target, executor=threads, **given)


def baked(log: Path) -> list[int]:
    values = sorted(map(int, log.read_text().split())) if log.exists() else []
    log.unlink(missing_ok=True)
    return values


def files(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.glob("*.h5"))


def stamps(target: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in target.parent.glob("*.h5")}


def numbered(count: int) -> list[str]:
    return [f"eyes-{number:05d}-of-{count:05d}.h5" for number in range(count)]


def work_files(target: Path) -> list[str]:
    return sorted(path.name for path in target.with_name(f".{target.name}.prebake").iterdir())


@pytest.mark.parametrize("codec", ["raw", "zstd"])
def test_files_have_the_images_in_order_and_none_is_larger_than_asked(tmp_path, log, codec):
    source, target = photographs(tmp_path / "photos", range(20)), tmp_path / "eyes.h5"
    many = bake(source, target, codec=codec)
    assert files(target) == numbered(4)
    assert [len(member) for member in many.members] == [6, 6, 6, 2]
    assert max(path.stat().st_size for path in tmp_path.glob("*.h5")) <= SIZE
    assert baked(log) == list(range(20))
    one = bake(source, tmp_path / "one.h5", codec=codec, max_pack_size=None)
    assert many.digest == one.digest
    assert many.ids == one.ids
    np.testing.assert_array_equal(many.read(slice(None)), one.read(slice(None)))
    assert many.path == tmp_path / "eyes-*.h5"
    assert many.verify() == []
    assert work_files(target) == ["known.json"]
    assert prebake.open(tmp_path / "eyes-*.h5").digest == one.digest


def test_the_bytes_do_not_depend_on_who_baked_or_on_what_was_there(tmp_path):
    source = photographs(tmp_path / "photos", range(14))
    first = bake(source, tmp_path / "a" / "eyes.h5").members
    bake(source, tmp_path / "b" / "eyes.h5", max_pack_size="265kB")
    with ThreadPoolExecutor(1) as threads:
        again = pack(source, tmp_path / "b" / "eyes.h5", recipe=recipe(), codec="raw", max_pack_size=SIZE,
                     workers=7, executor=threads).members  # fmt: skip
    assert [one.path.read_bytes() for one in first] == [other.path.read_bytes() for other in again]


def test_again_nothing_is_done_and_what_is_new_alone_is_baked(tmp_path, log):
    source, target = photographs(tmp_path / "photos", range(1, 20)), tmp_path / "eyes.h5"
    bake(source, target)
    before = stamps(target)
    assert len(baked(log)) == 19
    bake(source, target)
    assert (baked(log), stamps(target)) == ([], before)
    photograph(source / "p000.png", 0)  # the first: every image moves on by one, some into the next file
    photograph(source / "p019.png", 119)
    many = bake(source, target)
    assert baked(log) == [0, 119]
    assert [int(image[0, 0, 1]) for image in many] == [*range(19), 119]
    assert many.verify() == []
    shutil.rmtree(tmp_path / ".eyes.h5.prebake")
    bake(source, target)
    assert baked(log) == []


def test_another_number_of_files_takes_images_over_and_leaves_no_old_file_of_ours(tmp_path, log, caplog):
    source, target = photographs(tmp_path / "photos", range(20)), tmp_path / "eyes.h5"
    bake(source, target, max_pack_size=None)
    assert len(baked(log)) == 20
    bake(source, target)
    assert (baked(log), files(target)) == ([], sorted(["eyes.h5", *numbered(4)]))
    others = {
        tmp_path / "eyes-00000-of-00099.h5": b"not a pack",
        tmp_path / "eyes-00001-of-00099.h5": (tmp_path / "eyes.h5").read_bytes(),  # a pack, but of no set
        tmp_path / "eyes-4.h5": b"x",
        tmp_path / "eyes2-00000-of-00001.h5": (tmp_path / "eyes-00000-of-00004.h5").read_bytes(),
    }
    for path, data in others.items():
        path.write_bytes(data)
    for size, count in (("270kB", 2), (SIZE, 4), ("1 GB", 1)):
        many = bake(source, target, max_pack_size=size)
        assert baked(log) == []
        assert files(target) == sorted([*numbered(count), "eyes.h5", *(path.name for path in others)])
        assert [int(image[0, 0, 1]) for image in many] == list(range(20))
    assert all(path.read_bytes() == data for path, data in others.items())
    assert "eyes-00000-of-00099.h5 is not of this set" in caplog.text


def test_what_is_not_ours_at_the_name_of_a_file_is_refused_before_any_work(tmp_path, log):
    source, target = photographs(tmp_path / "photos", range(20)), tmp_path / "eyes.h5"
    (tmp_path / numbered(4)[2]).write_bytes(b"mine")
    with pytest.raises(PackFormatError, match="exists and is not overwritten"):
        bake(source, target)
    assert (baked(log), files(target)) == ([], [numbered(4)[2]])


def test_with_a_failure_no_file_takes_its_place_and_all_others_are_done(tmp_path, log):
    source, target = photographs(tmp_path / "photos", [*range(8), 250, *range(9, 20)]), tmp_path / "eyes.h5"
    with pytest.raises(PackFailures, match="1 of 20 photographs could not be baked"):
        bake(source, target)
    assert files(target) == []
    assert baked(log) == [*range(8), *range(9, 20), 250]
    many = bake(source, target, on_error="skip")
    assert baked(log) == []
    assert [len(member) for member in many.members] == [6, 6, 6, 1]
    assert [failure.id for failure in many.failures] == ["p250"]
    assert len(many) == 19


def test_a_file_none_of_whose_photographs_can_be_baked_is_empty(tmp_path):
    source, target = photographs(tmp_path / "photos", range(6)), tmp_path / "eyes.h5"
    for number in range(6):
        (source / f"q{number}.png").write_bytes(b"no picture")
    many = bake(source, target, on_error="skip")
    assert [len(member) for member in many.members] == [6, 0]
    assert len(many.failures) == 6
    shutil.rmtree(source)
    photographs(source, [250])
    with pytest.raises(PackFailures, match="none of the 1 photographs"):
        bake(source, tmp_path / "none.h5", on_error="skip")
    assert files(target) == numbered(2)


@pytest.mark.parametrize("step", ["_make", "_publish", "_remove_stale", "_tidy"])
@pytest.mark.parametrize("done", [0, 1, 3])
def test_ended_anywhere_the_same_call_goes_on_and_no_image_is_baked_twice(tmp_path, log, monkeypatch, step, done):
    source, target = photographs(tmp_path / "photos", range(20)), tmp_path / "eyes.h5"
    bake(source, target, max_pack_size="266kB")
    whole = [member.path.read_bytes() for member in bake(source, tmp_path / "other" / "eyes.h5").members]
    photograph(source / "p020.png", 20)
    baked(log)
    with monkeypatch.context() as patch:
        if step == "_publish":
            moves, replace = [], Path.replace

            def move(path: Path, to: Path) -> Path:
                moves.append(path)
                if len([each for each in moves if each.name.startswith("ready-")]) > done:
                    raise KeyboardInterrupt
                return replace(path, to)

            patch.setattr(Path, "replace", move)
        else:
            calls, real = [], getattr(set_job.SetJob, step)

            def ended(self, *given):
                calls.append(1)
                if len(calls) > done:
                    raise KeyboardInterrupt
                return real(self, *given)

            patch.setattr(set_job.SetJob, step, ended)
        if step in ("_make", "_publish") or done == 0:
            with pytest.raises(KeyboardInterrupt):
                bake(source, target)
    many = bake(source, target)
    assert baked(log) == [20]
    assert [int(image[0, 0, 1]) for image in many] == list(range(21))
    assert files(target) == numbered(4)
    assert work_files(target) == ["known.json"]
    (source / "p020.png").unlink()
    assert [member.path.read_bytes() for member in bake(source, target).members] == whole


def bake_half(source: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bake, and be interrupted when two files have taken their places."""
    real = Path.replace

    def move(path: Path, to: Path) -> Path:
        if path.name.startswith("ready-00002"):
            raise KeyboardInterrupt
        return real(path, to)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", move)
        with pytest.raises(KeyboardInterrupt):
            bake(source, target)


def test_half_published_the_files_are_not_taken_for_a_pack(tmp_path, monkeypatch):
    source, target = photographs(tmp_path / "photos", range(1, 20)), tmp_path / "eyes.h5"
    bake(source, target)
    photograph(source / "p000.png", 0)
    bake_half(source, target, monkeypatch)
    with pytest.raises(PackError, match="were not packed together"):
        prebake.open(tmp_path / "eyes-*.h5")
    assert len(bake(source, target)) == 20


def test_half_published_files_of_the_same_photographs_with_other_contents_are_refused(tmp_path, monkeypatch):
    source, target = photographs(tmp_path / "photos", range(20)), tmp_path / "eyes.h5"
    bake(source, target)
    for number in range(20):
        photograph(source / f"p{number:03d}.png", number + 100)
    bake_half(source, target, monkeypatch)
    members = [Pack(path) for path in sorted(tmp_path.glob("*.h5"))]
    assert [int(member[0][0, 0, 1]) for member in members] == [100, 106, 12, 18]
    with pytest.raises(PackError, match=r"eyes-\*.h5: some files may be of an earlier packing"):
        prebake.open(tmp_path / "eyes-*.h5")
    assert [int(image[0, 0, 1]) for image in bake(source, target)] == list(range(100, 120))
    assert work_files(target) == ["known.json"]


def test_killed_the_same_command_goes_on(tmp_path):
    source, target = photographs(tmp_path / "photos", range(30)), tmp_path / "eyes.h5"
    code = (
        "import sys, packing_helpers as helpers; from prebake.packing import pack\n"
        "pack(sys.argv[1], sys.argv[2], recipe=helpers.recipe(helpers.slowly), codec='raw', max_pack_size=261_000,"
        " workers=1)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    driver = subprocess.Popen([sys.executable, "-c", code, str(source), str(target)], env=environment)
    ready = target.with_name(f".{target.name}.prebake")
    while not list(ready.glob("ready-00001*")) and driver.poll() is None:
        time.sleep(0.01)
    driver.send_signal(signal.SIGKILL)
    assert driver.wait() == -9
    assert files(target) == []
    many = bake(source, target, recipe=recipe(helpers.slowly))
    assert [int(image[0, 0, 1]) for image in many] == list(range(30))
    assert many.verify() == []


def test_a_damaged_image_of_an_old_file_is_baked_again(tmp_path, log):
    source, target = photographs(tmp_path / "photos", range(20)), tmp_path / "eyes.h5"
    many = bake(source, target)
    baked(log)
    damaged = many.members[1]
    data = bytearray(damaged.path.read_bytes())
    data[int(damaged._structure.offsets[2])] ^= 1
    damaged.path.write_bytes(data)
    again = bake(source, target, max_pack_size="270kB")
    assert (baked(log), again.verify()) == ([8], [])
    assert repair(again.members[0].path, source) == []


def test_a_packing_and_a_repair_keep_out_of_each_others_way(tmp_path):
    source, target = photographs(tmp_path / "photos", range(8)), tmp_path / "eyes.h5"
    many = bake(source, target)
    with WorkFolder.held(target), pytest.raises(PackLocked):
        repair(many.members[0].path, source)


def test_sizes_that_cannot_be_used_are_told(tmp_path):
    source, target = photographs(tmp_path / "photos", range(3)), tmp_path / "eyes.h5"
    for size, told in (("big", "a size such as 50GB or 800MB"), ("100 kB", "expected: at least 25"), ("0", "at least")):
        with pytest.raises(OptionError, match=told):
            bake(source, target, max_pack_size=size)
    assert rows_in_file(50_000_000_000, 256, []) == (50_000_000_000 - 250_000) // (196_608 + 771 + 1_000)
    assert not list(tmp_path.glob("*.h5"))


def test_one_file_is_a_set_too_and_each_file_is_a_pack(tmp_path):
    source, target = photographs(tmp_path / "photos", range(3)), tmp_path / "eyes.h5"
    many = bake(source, target, max_pack_size="1GB")
    assert isinstance(many, ManyPacks)
    assert files(target) == numbered(1)
    assert Pack(tmp_path / numbered(1)[0]).ids == many.ids == ["p000", "p001", "p002"]
