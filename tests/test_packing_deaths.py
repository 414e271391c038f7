"""Workers that die, drivers that are killed, users that interrupt."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

import packing_helpers as helpers
from packing_helpers import DEADLY, killed, killed_once, photographs, recipe, removing_run, segfaulting, slowly
from prebake.errors import PackError, PackFailures
from prebake.packing import pack, run
from prebake.packing.worker import Task, bake_part
from prebake.sources import scan
from prebake.store import Header

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = """
import sys
sys.path[:0] = {paths!r}
import packing_helpers as helpers
from prebake.packing import pack
print("loaded", flush=True)
print(len(pack({source!r}, {target!r}, recipe=helpers.recipe(helpers.{function}), codec="raw", workers=2)), flush=True)
"""


# ---------------------------------------------------------------- workers that die


@pytest.mark.parametrize(("function", "number"), [(killed, 9), (segfaulting, 11)])
def test_a_photograph_that_kills_its_worker_is_a_named_failure_and_costs_no_other(tmp_path, function, number):
    source = photographs(tmp_path / "photos", [*range(18), DEADLY])
    made = pack(source, tmp_path / "out.h5", recipe=recipe(function), codec="raw", workers=2, on_error="skip")
    assert made.ids == [f"p{value:03d}" for value in range(18)]
    assert [failure.id for failure in made.failures] == ["p255"]
    assert f"died twice (signal {number}" in made.failures[0].reason
    again = pack(source, tmp_path / "out.h5", recipe=recipe(function), codec="raw", workers=2, on_error="skip")
    assert again.failures == made.failures


def test_a_worker_that_dies_once_costs_a_retry_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setenv(helpers.LOG, str(tmp_path / "log"))
    source = photographs(tmp_path / "photos", [*range(9), DEADLY])
    made = pack(source, tmp_path / "out.h5", recipe=recipe(killed_once), codec="raw", workers=2)
    assert (tmp_path / "log.mark").exists()
    assert len(made) == 10
    assert made.failures == ()


def test_an_executor_of_the_user_that_breaks_is_replaced(tmp_path):
    source = photographs(tmp_path / "photos", [*range(6), DEADLY])
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        made = pack(source, tmp_path / "out.h5", recipe=recipe(killed), codec="raw", executor=executor, on_error="skip")
    assert len(made) == 6
    assert [failure.id for failure in made.failures] == ["p255"]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_an_executor_that_forks_is_refused_for_it_may_never_end(tmp_path):
    source = photographs(tmp_path / "photos", range(6))
    forking = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork"))
    with forking as executor, pytest.raises(PackError, match="forks its processes"):
        pack(source, tmp_path / "out.h5", executor=executor)
    assert not (tmp_path / "out.h5").exists()


def test_an_executor_that_loses_a_worker_in_its_own_way_is_used_further(tmp_path):
    class Lossy(ThreadPoolExecutor):
        lost = 0

        def submit(self, function, /, task: Task, **kwargs):
            if not self.lost:
                self.lost += 1
                Path(task.run, task.name).write_text("0\n1\n")
                return super().submit(int, "a worker was lost")
            return super().submit(function, task, **kwargs)

    source = photographs(tmp_path / "photos", range(12))
    with Lossy(1) as executor:
        made = pack(source, tmp_path / "out.h5", recipe=recipe(), codec="raw", executor=executor, workers=1)
    assert executor.lost == 1
    assert len(made) == 12
    assert made.failures == ()


def test_workers_that_die_whatever_they_are_given_end_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "HOPELESS", 2)
    source = photographs(tmp_path / "photos", [DEADLY])
    for name in "abcdef":
        (source / f"{name}.png").symlink_to(source / "p255.png")
    with pytest.raises(PackError, match="whatever photograph they are given"):
        pack(source, tmp_path / "out.h5", recipe=recipe(killed), codec="raw", workers=2, on_error="skip")


def test_several_that_kill_in_a_row_at_the_beginning_cost_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "HOPELESS", 2)
    source = photographs(tmp_path / "photos", range(12))
    photographs(tmp_path, [DEADLY])
    for name in "abc":
        (source / f"{name}.png").symlink_to(tmp_path / "p255.png")
    made = pack(source, tmp_path / "out.h5", recipe=recipe(killed), codec="raw", workers=1, on_error="skip")
    assert [failure.id for failure in made.failures] == ["a", "b", "c"]
    assert len(made) == 12


# ------------------------------------------------------------- a driver that is killed


def start(tmp_path: Path, source: Path, function: str = "slowly") -> subprocess.Popen[str]:
    paths = [str(ROOT / "src"), str(ROOT / "tests")]
    script = tmp_path / "script.py"
    values = {"paths": paths, "source": str(source), "target": str(tmp_path / "out.h5"), "function": function}
    script.write_text(SCRIPT.format(**values))
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def text_of(path: Path) -> str:
    """Read a file that may be gone by now."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def notes(tmp_path: Path) -> int:
    """Count the photographs that were begun in the parts under way."""
    return sum(len(text_of(path).split()) for path in tmp_path.glob(".out.h5.prebake/run-*/*"))


def kept(tmp_path: Path) -> int:
    """Count the photographs of finished parts."""
    receipts = map(text_of, tmp_path.glob(".out.h5.prebake/parts/[!.]*.json"))
    return sum(len(json.loads(receipt)["outcomes"]) for receipt in receipts if receipt)


def wait_for(condition, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.01)


def descendants(process: int) -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, ProcessLookupError):
            continue
        if parent == process:
            child = int(path.parent.name)
            yield child
            yield from descendants(child)


def alive(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


@pytest.mark.parametrize("whole_group", [True, False], ids=["group", "driver only"])
def test_killed_at_any_moment_the_next_call_ends_with_the_same_bytes(tmp_path, whole_group):
    source = photographs(tmp_path / "photos", range(48))
    for moment in (1, 16, 34):
        kill_at(moment, tmp_path, source, whole_group)
        assert not (tmp_path / "out.h5").exists()
    assert kept(tmp_path) > 16
    with ThreadPoolExecutor(2) as threads:
        pack(source, tmp_path / "out.h5", recipe=recipe(slowly), codec="raw", executor=threads)
        pack(source, tmp_path / "fresh.h5", recipe=recipe(slowly), codec="raw", executor=threads)
    assert (tmp_path / "out.h5").read_bytes() == (tmp_path / "fresh.h5").read_bytes()
    assert [path.name for path in tmp_path.glob(".out.h5.prebake/*")] == ["known.json"]


def kill_at(moment: int, tmp_path: Path, source: Path, whole_group: bool) -> None:
    process = start(tmp_path, source)
    wait_for(lambda: notes(tmp_path) and notes(tmp_path) + kept(tmp_path) >= moment)
    workers = list(descendants(process.pid))
    assert workers
    if whole_group:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.communicate()
    wait_for(lambda: not any(alive(worker) for worker in workers), 3)


def test_a_worker_whose_driver_is_gone_stops_at_the_next_photograph(tmp_path, monkeypatch):
    monkeypatch.setenv(helpers.LOG, str(tmp_path / "log"))
    samples = scan([photographs(tmp_path / "photos", range(5))])
    (tmp_path / "parts").mkdir()
    (tmp_path / "run").mkdir()
    kind = recipe(removing_run)
    header = Header(kind.to_json(), kind.digest, kind.size, "raw")
    task = Task(tuple(samples), header, "", str(tmp_path / "parts"), str(tmp_path / "run"))
    with pytest.raises(PackError, match="has stopped"):
        bake_part(task)
    assert (tmp_path / "log").read_text() == "0\n"
    assert list((tmp_path / "parts").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_quickly_and_says_how_to_go_on(tmp_path, number):
    source = photographs(tmp_path / "photos", range(30))
    process = start(tmp_path, source, "very_slowly")
    wait_for(lambda: notes(tmp_path) >= 2)
    workers = list(descendants(process.pid))
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    _, errors = process.communicate(timeout=10)
    assert process.returncode != 0
    wait_for(lambda: not any(alive(worker) for worker in workers))
    if number == signal.SIGINT:
        assert errors.count("Traceback") == 1, errors
        assert "0 of 30 photographs are done; run the same command again" in errors


def test_an_interrupt_ends_the_pool_before_anything_cancels_what_its_own_thread_looks_after(tmp_path, monkeypatch):
    cancelled: list[bool] = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, _workers):
            super().__init__(1)

        def submit(self, *arguments, **options):
            future = super().submit(*arguments, **options)
            self.made = [*getattr(self, "made", []), future]
            return future

        def running(self):
            return []

        def kill(self):
            cancelled.extend(future.cancelled() for future in self.made)
            self.shutdown(cancel_futures=True)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "LocalPool", Pool)
    monkeypatch.setattr(run._Driver, "_add", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pack(photographs(tmp_path / "photos", range(30)), tmp_path / "out.h5", recipe=recipe(slowly), workers=2)
    assert len(cancelled) > 2
    assert not any(cancelled)


def test_a_script_without_a_main_guard_packs_without_running_twice(tmp_path):
    source = photographs(tmp_path / "photos", range(6))
    output, errors = start(tmp_path, source, "shrink").communicate(timeout=60)
    assert output == "loaded\n6\n"
    assert errors == ""


def test_failures_of_killed_workers_are_told_when_the_call_fails(tmp_path):
    source = photographs(tmp_path / "photos", [1, 2, DEADLY])
    with pytest.raises(PackFailures, match="died twice"):
        pack(source, tmp_path / "out.h5", recipe=recipe(killed), codec="raw", workers=1)
