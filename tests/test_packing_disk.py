"""Packing: one process a target, and disks that are full or do not let one write."""

from __future__ import annotations

import errno
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import packing_helpers as helpers
from packing_helpers import photographs, recipe
from prebake import locks
from prebake.errors import NoSpace, PackError, PackLocked
from prebake.packing import folder, job, pack
from prebake.packing.folder import WorkFolder

if TYPE_CHECKING:
    from prebake.store import Pack

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "log"
    monkeypatch.setenv(helpers.LOG, str(path))
    return path


def bake(source: Path, target: Path) -> Pack:
    with ThreadPoolExecutor(2) as threads:
        return pack(source, target, recipe=recipe(), codec="raw", executor=threads)


def full(*args: object, **kwargs: object) -> None:
    raise FULL


def test_a_second_packing_of_the_same_target_is_refused_and_told_who_holds_it(tmp_path):
    source = photographs(tmp_path / "photos", range(2))
    with WorkFolder.held(tmp_path / "out.h5"), pytest.raises(PackLocked, match=r"process \d+ on "):
        bake(source, tmp_path / "out.h5")
    assert len(bake(source, tmp_path / "out.h5")) == 2


def test_a_lock_file_that_a_dead_process_left_blocks_nobody(tmp_path):
    source = photographs(tmp_path / "photos", range(2))
    (tmp_path / ".out.h5.prebake").mkdir()
    (tmp_path / ".out.h5.prebake" / "lock").write_text("process 1 on elsewhere\n")
    assert len(bake(source, tmp_path / "out.h5")) == 2


def test_a_work_folder_that_another_process_removes_at_that_moment_is_made_again(tmp_path, monkeypatch):
    real, times = Path.mkdir, []

    def removed_at_once(path: Path, **options: bool) -> None:
        real(path, **options)
        if path.name == ".out.h5.prebake" and len(times) < 3:
            times.append(path.rmdir())

    monkeypatch.setattr(Path, "mkdir", removed_at_once)
    with WorkFolder.held(tmp_path / "out.h5") as work:
        assert work.parts.is_dir()
    assert len(times) == 3
    assert not list(tmp_path.glob(".*"))


def test_something_else_in_the_place_of_the_work_folder_is_told(tmp_path):
    (tmp_path / ".out.h5.prebake").write_text("mine")
    with pytest.raises(PackError, match="cannot write beside"), WorkFolder.held(tmp_path / "out.h5"):
        pass


def test_a_disk_that_will_not_hold_the_pack_is_refused_before_anything_is_baked(tmp_path, log, monkeypatch):
    source = photographs(tmp_path / "photos", range(5))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=2 * 5 * 16 * 16 * 3))
    with pytest.raises(NoSpace):
        bake(source, tmp_path / "out.h5")
    assert not log.exists()
    assert not list(tmp_path.glob(".*"))


def test_a_disk_that_is_full_meanwhile_is_told_and_finished_parts_are_kept(tmp_path, log, monkeypatch):
    source = photographs(tmp_path / "photos", range(8))
    real = job.merge_packs

    monkeypatch.setattr(job, "merge_packs", full)
    with pytest.raises(NoSpace):
        bake(source, tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()
    monkeypatch.setattr(job, "merge_packs", real)
    log.unlink()
    assert len(bake(source, tmp_path / "out.h5")) == 8
    assert not log.exists()


def test_a_forked_process_does_not_keep_the_lock(tmp_path):
    with WorkFolder.held(tmp_path / "out.h5"):
        assert len(locks._HELD) == 1
        ready, go = os.pipe()
        child = os.fork()
        if child == 0:  # the child lives on after the lock was let go of here
            os.read(ready, 1)
            os._exit(0)
    with WorkFolder.held(tmp_path / "out.h5"):
        pass
    os.write(go, b"x")
    os.waitpid(child, 0)


def test_a_full_disk_holds_no_lock_and_loses_no_pack_that_is_done(tmp_path, log, monkeypatch):
    source = photographs(tmp_path / "photos", range(4))
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)  # who holds the lock
        patch.setattr(folder, "write_text", full)  # what is known of the sources
        assert len(bake(source, tmp_path / "out.h5")) == 4
    assert not list(tmp_path.glob(".*"))
    log.unlink()
    assert len(bake(source, tmp_path / "out.h5")) == 4
    assert not log.exists()


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, NoSpace), (errno.EDQUOT, NoSpace), (errno.EIO, PackError)])
def test_what_the_disk_refuses_while_packing_is_an_error_of_ours(tmp_path, monkeypatch, number, kind):
    def refused(*args: object) -> None:
        raise OSError(number, os.strerror(number))

    source = photographs(tmp_path / "photos", range(4))
    for place in ("begin_run", "stop_earlier_runs"):
        with monkeypatch.context() as patch:
            patch.setattr(WorkFolder, place, refused)
            with pytest.raises(kind, match="cannot go on") as caught:
                bake(source, tmp_path / "out.h5")
        assert type(caught.value) is kind
    assert len(bake(source, tmp_path / "out.h5")) == 4
