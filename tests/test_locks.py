"""Two at once: the second is told or waits, the dead block nobody, and readers keep what they have opened."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

import prebake
from prebake.crossval.plan import in_turn
from prebake.errors import PackLocked, RunError
from prebake.locks import Held, held_lock
from prebake.packing.folder import WorkFolder
from prebake.training.folder import alone

HOLD = """
import sys, time
from pathlib import Path
from prebake.locks import held_lock
with held_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that holds the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_is_told_who_holds_it_and_the_dead_block_nobody(tmp_path: Path, holder: subprocess.Popen) -> None:
    with pytest.raises(Held, match=rf"process {holder.pid} on "), held_lock(tmp_path / "lock"):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "lock").exists(), "what it left behind"
    with held_lock(tmp_path / "lock"):
        pass
    assert not (tmp_path / "lock").exists()


def test_what_a_dead_process_of_another_machine_left_blocks_nobody(tmp_path: Path) -> None:
    for name in ("lock", ".lock"):
        (tmp_path / name).write_text("process 1 on elsewhere\n")
    with held_lock(tmp_path / "lock"), alone(tmp_path, 1):
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_where_there_are_no_locks_a_warning_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with caplog.at_level(logging.WARNING), held_lock(tmp_path / "lock"):
        pass
    assert "cannot be locked" in caplog.text


def test_what_is_locked_is_a_file_that_is_open_for_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else NFS refuses it, or, of a folder, takes it for this machine alone."""
    locked: list[tuple[bool, int]] = []
    real = fcntl.flock

    def note(handle: int, operation: int) -> None:
        mode = fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE
        locked.append((stat.S_ISREG(os.fstat(handle).st_mode), mode))
        real(handle, operation)

    monkeypatch.setattr(fcntl, "flock", note)
    with WorkFolder.held(tmp_path / "p.h5"), alone(tmp_path, 1):
        pass
    with in_turn(tmp_path):
        pass
    assert locked == [(True, os.O_RDWR)] * 3


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "lock").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match="symbolic link"), held_lock(tmp_path / "lock"):
        pass
    assert (tmp_path / "mine").read_text() == "mine"


def test_cross_validations_wait_for_each_other_only_while_they_write(tmp_path: Path) -> None:
    order = []

    def second() -> None:
        with in_turn(tmp_path):
            order.append("second")

    thread = threading.Thread(target=second)
    with in_turn(tmp_path):
        thread.start()
        thread.join(0.3)
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"]


def photographs(folder: Path) -> Path:
    folder.mkdir()
    for number in range(4):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((40, 50, 3), 50 * number + 20, np.uint8))
    return folder


def test_a_second_packing_repair_and_training_are_told(tmp_path: Path) -> None:
    source, path = photographs(tmp_path / "photographs"), tmp_path / "p.h5"
    prebake.pack(source, path, size=16, workers=1, progress=False)
    with WorkFolder.held(path):
        for use in (prebake.pack, lambda source, path, **options: prebake.repair(path, source, **options)):
            with pytest.raises(PackLocked, match=r"process \d+ on "):
                use(source, path, workers=1, progress=False)
    told = pytest.raises(RunError, match=r"another process trains(.|\n)*process \d+ on ")
    with alone(tmp_path, 1), told, alone(tmp_path, 1):
        pass


def test_a_reader_beside_a_packing_keeps_the_old_pack_until_it_is_opened_again(tmp_path: Path) -> None:
    source, path = photographs(tmp_path / "photographs"), tmp_path / "p.h5"
    for codec in ("raw", "zstd", "gzip"):
        old = prebake.pack(source, path, recipe="resize", size=16, codec=codec, workers=1, progress=False)
        before = old.read(range(4))
        prebake.pack(source, path, recipe="kernel", size=24, codec=codec, workers=1, progress=False)
        np.testing.assert_array_equal(old.read(range(4)), before)
        assert old.verify() == []
        assert prebake.open(path).shape == (24, 24, 3)
