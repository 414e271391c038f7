"""Packing where things are taken away meanwhile or were never there: sources, space, permissions, semaphores."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import packing_helpers as helpers
from packing_helpers import photographs, recipe
from prebake.errors import PackError
from prebake.packing import pack

NOBODY = 65534
LIMITED = """
import resource, sys
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
import packing_helpers as helpers
from prebake.errors import NoSpace
from prebake.packing import pack
try:
    print(len(pack(sys.argv[2], sys.argv[3], recipe=helpers.recipe(), codec="raw", workers=2)))
except NoSpace as error:
    print(error)
"""


@pytest.fixture
def ordinary_user(tmp_path) -> Iterator[None]:
    """Root may write anywhere; others may not see where Python itself lies, so all that is needed is loaded before."""
    with ThreadPoolExecutor(1) as threads:
        pack(photographs(tmp_path / "before", [1]), tmp_path / "before.h5", recipe=recipe(), executor=threads)
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("workers", [1, 2])
def test_photographs_that_vanish_or_change_meanwhile_are_named_and_the_others_baked(tmp_path, monkeypatch, workers):
    source = photographs(tmp_path / "photos", range(12))
    monkeypatch.setenv(helpers.LOG, str(source))
    made = pack(source, tmp_path / "out.h5", recipe=recipe(helpers.meddling), workers=workers, on_error="skip")
    assert made.ids == [f"p{value:03d}" for value in range(12) if value not in {10, 11}]
    assert [failure.id for failure in made.failures] == ["p010", "p011"]
    assert "is gone: it was there when the source was listed" in made.failures[0].reason
    assert "has changed since it was listed" in made.failures[1].reason
    assert all(str(tmp_path) not in failure.reason for failure in made.failures)
    helpers.photograph(source / "p010.png", 10)
    again = pack(source, tmp_path / "out.h5", recipe=recipe(helpers.meddling), workers=workers, on_error="skip")
    assert again.ids == [f"p{value:03d}" for value in range(12)]
    assert again.height[11] == 50


@pytest.mark.parametrize("limit", [10, 1_000, 3_000, 8_000])
def test_a_limit_of_the_file_size_is_told_and_the_next_call_goes_on(tmp_path, limit):
    source = photographs(tmp_path / "photos", range(40))
    command = [sys.executable, "-c", LIMITED, str(limit), str(source), str(tmp_path / "out.h5")]
    paths = os.pathsep.join(sys.path)
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=True)
    assert "what to do: " in done.stdout, done.stdout
    assert done.stderr == ""
    assert not (tmp_path / "out.h5").exists()
    assert not list(tmp_path.glob(".out.h5.prebake/**/*.tmp"))
    with ThreadPoolExecutor(2) as threads:
        assert len(pack(source, tmp_path / "out.h5", recipe=recipe(), codec="raw", executor=threads)) == 40


def test_a_folder_that_may_not_be_written_is_told_before_anything_is_baked(ordinary_user):
    with tempfile.TemporaryDirectory() as name:
        source = photographs(Path(name, "photos"), range(3))
        target = Path(name, "shelf")
        target.mkdir(mode=0o555)
        with pytest.raises(PackError, match=r"cannot write beside [\s\S]*Permission denied[\s\S]*another place"):
            pack(source, target / "out.h5", recipe=recipe(), workers=1)
        assert list(target.iterdir()) == []


def test_photographs_that_may_not_be_read_are_named(ordinary_user):
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(1) as threads:
        source = photographs(Path(name, "photos"), range(3))
        (source / "p001.png").chmod(0)
        made = pack(source, Path(name, "out.h5"), recipe=recipe(), executor=threads, on_error="skip")
        assert [(failure.id, "Permission denied" in failure.reason) for failure in made.failures] == [("p001", True)]


def test_a_finished_pack_that_may_not_be_written_is_left_as_it_is_where_nothing_changed(ordinary_user):
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(1) as threads:
        source = photographs(Path(name, "photos"), range(3))
        made = pack(source, Path(name, "out.h5"), recipe=recipe(), executor=threads)
        made.path.chmod(0o444)
        before = made.path.read_bytes()
        assert len(pack(source, made.path, recipe=recipe(), executor=threads)) == 3
        assert made.path.read_bytes() == before


def test_no_semaphore_is_needed(tmp_path, monkeypatch):
    def refused(*args: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("_multiprocessing.SemLock", refused)
    assert len(pack(photographs(tmp_path / "photos", range(6)), tmp_path / "out.h5", recipe=recipe(), workers=2)) == 6
