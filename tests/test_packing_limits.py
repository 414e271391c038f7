"""Photographs that take too long or too much: named with the reason, and no other is touched."""

from __future__ import annotations

import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import packing_helpers as helpers
from packing_helpers import DEADLY, greedy, hanging, photographs, recipe, very_slowly
from prebake.errors import OptionError, PackError, PackFailures
from prebake.packing import limits, options, pack
from prebake.packing.limits import Limits, Stopwatch, own_memory
from prebake.packing.local import LocalPool, WorkerLost

GIGABYTE = 10**9


@pytest.fixture
def log(tmp_path, monkeypatch):
    path = tmp_path / "log"
    monkeypatch.setenv(helpers.LOG, str(path))
    return path


# ------------------------------------------------------------------------------ time


def test_a_photograph_that_hangs_is_a_named_failure_and_costs_no_other(tmp_path, log):
    source = photographs(tmp_path / "photos", [*range(18), DEADLY])
    start = time.monotonic()
    made = pack(
        source, tmp_path / "out.h5", recipe=recipe(hanging), codec="raw", workers=2, on_error="skip", time_limit=2
    )
    assert time.monotonic() - start < 30  # and not the minute that it hangs
    assert made.ids == [f"p{value:03d}" for value in range(18)]
    assert [(failure.id, failure.path) for failure in made.failures] == [("p255", "photos/p255.png")]
    assert made.failures[0].reason == "it took longer than the time limit of 2 s"
    baked = [int(line) for line in log.read_text().split()]
    assert sorted(set(baked)) == list(range(18))
    assert len(baked) <= 18 + 3  # of its own part alone is something baked again


def test_what_hung_is_tried_again_by_the_next_call(tmp_path):
    source = photographs(tmp_path / "photos", [1, 2, DEADLY])
    common = {"recipe": recipe(helpers.hanging_once), "codec": "raw", "workers": 1, "on_error": "skip"}
    os.environ[helpers.LOG] = str(tmp_path / "log")
    try:
        assert len(pack(source, tmp_path / "out.h5", time_limit=1.5, **common).failures) == 1
        made = pack(source, tmp_path / "out.h5", **common)
    finally:
        del os.environ[helpers.LOG]
    assert made.ids == ["p001", "p002", "p255"]
    assert made.failures == ()


def test_a_recipe_that_always_hangs_ends_the_call_before_all_photographs_are_tried(tmp_path, monkeypatch):
    monkeypatch.setattr("prebake.packing.run.HOPELESS", 2)
    photographs(tmp_path, [DEADLY])
    (tmp_path / "photos").mkdir()
    for number in range(30):
        (tmp_path / "photos" / f"{number}.png").symlink_to(tmp_path / "p255.png")
    with pytest.raises(PackError, match=r"longer than the time limit of 1 s, whichever it is[^$]*--time-limit"):
        pack(tmp_path / "photos", tmp_path / "out.h5", recipe=recipe(hanging), workers=2, time_limit=1)


def test_an_executor_of_the_user_is_out_of_reach_and_a_warning_names_the_photograph(tmp_path, caplog):
    source = photographs(tmp_path / "photos", [3])
    with ThreadPoolExecutor(1) as threads, caplog.at_level(logging.WARNING, "prebake"):
        made = pack(source, tmp_path / "out.h5", recipe=recipe(very_slowly), executor=threads, time_limit=0.3)
    assert made.ids == ["p003"]
    assert [record.getMessage() for record in caplog.records] == [
        "p003: it took longer than the time limit of 0.3 s, or its worker is lost; it cannot be ended from here"
    ]


def test_the_time_of_one_photograph_is_counted_and_not_that_of_its_part(monkeypatch):
    now = 100.0
    monkeypatch.setattr(limits.time, "monotonic", lambda: now)
    watch = Stopwatch(1.0)
    for step in range(1, 20):
        now += 0.6
        assert watch.overdue({"part": step}) == []
        assert watch.overdue({"part": step}) == []
    late = []
    for _ in range(5):
        now += 0.6
        late.append(watch.overdue({"part": 19, "other": 1}))
    assert late == [[], ["part"], ["other"], [], []]


def test_a_driver_that_was_stopped_itself_blames_no_photograph(monkeypatch):
    now = 100.0
    monkeypatch.setattr(limits.time, "monotonic", lambda: now)
    watch = Stopwatch(60)
    assert watch.overdue({"part": 1}) == []
    now += 3600  # a terminal's Ctrl-Z stops driver and workers alike
    assert watch.overdue({"part": 1}) == []


# ---------------------------------------------------------------------------- memory


def test_a_photograph_that_takes_all_memory_is_a_named_failure_and_costs_no_other(tmp_path, log):
    source = photographs(tmp_path / "photos", [*range(18), DEADLY])
    common = {"recipe": recipe(greedy), "codec": "raw", "workers": 2, "on_error": "skip"}
    made = pack(source, tmp_path / "out.h5", memory_limit=1, **common)
    assert made.ids == [f"p{value:03d}" for value in range(18)]
    assert [failure.id for failure in made.failures] == ["p255"]
    assert made.failures[0].reason == "it took more memory than the limit of 1.0 GB"
    baked = [int(line) for line in log.read_text().split()]
    assert sorted(set(baked)) == list(range(18))
    assert len(baked) <= 18 + 3


def test_the_largest_is_ended_where_all_together_take_too_much():
    both = Limits(60, 5 * GIGABYTE)
    assert both.largest([(2 * GIGABYTE, "a"), (3 * GIGABYTE, "b")]) is None
    assert both.largest([(2 * GIGABYTE, "a"), (3 * GIGABYTE + 1, "b")]) == "b"
    assert both.largest([]) is None


def test_memory_of_a_process_is_its_own_and_not_that_of_the_libraries_it_maps():
    before = own_memory(os.getpid())
    taken = np.ones(1 << 24)
    assert own_memory(os.getpid()) - before == pytest.approx(taken.nbytes, rel=0.1)
    assert own_memory(2**22 + 1) == 0  # there is no such process


def test_three_quarters_of_the_memory_of_the_machine_are_the_limit_unless_told(monkeypatch):
    monkeypatch.setattr(options, "machine_memory", lambda: 16 * GIGABYTE)
    assert options.PackOptions().limits == Limits(60, 12 * GIGABYTE)
    assert options.PackOptions(time_limit=5, memory_limit=2.5).limits == Limits(5, 2_500_000_000)


@pytest.mark.parametrize("name", ["time_limit", "memory_limit"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_limits_that_are_none_are_refused(name, value):
    with pytest.raises(OptionError, match=name):
        options.PackOptions(**{name: value})


# ----------------------------------------------------------------- hopeless, or not


def test_many_that_kill_are_told_one_by_one_where_an_earlier_call_got_others_through(tmp_path, monkeypatch):
    monkeypatch.setattr("prebake.packing.run.HOPELESS", 2)
    source = photographs(tmp_path / "photos", [1, 2, 3])
    photographs(tmp_path, [DEADLY])
    for name in "ab":
        (source / f"{name}.png").symlink_to(tmp_path / "p255.png")
    for _ in range(2):
        with pytest.raises(PackFailures) as caught:
            pack(source, tmp_path / "out.h5", recipe=recipe(helpers.killed), codec="raw", workers=2)
        assert [failure.id for failure in caught.value.failures] == ["a", "b"]


# ------------------------------------------------------------------- processes of ours


def test_a_process_that_dies_takes_nothing_from_the_others():
    with LocalPool(2) as pool:
        slow = pool.submit(time.sleep, 1.0)
        dead = pool.submit(os._exit, 7)
        with pytest.raises(WorkerLost) as caught:
            dead.result()
        assert caught.value.exit_code == 7
        assert not slow.done()
        assert [pool.submit(abs, -number).result() for number in range(3)] == [0, 1, 2]
        assert slow.result() is None


def test_errors_and_answers_that_cannot_be_sent_are_errors_of_the_call_alone():
    with LocalPool(1) as pool:
        with pytest.raises(ZeroDivisionError) as caught:
            pool.submit(divmod, 1, 0).result()
        assert "in a worker process:\nTraceback" in caught.value.__notes__[0]
        with pytest.raises(TypeError, match="cannot be sent"):
            pool.submit(open, os.devnull).result()
        process = pool.submit(os.getpid).result()
        assert pool.submit(os.getpid).result() == process


def test_a_pool_that_is_killed_ends_its_calls_and_cancels_those_that_have_not_begun():
    pool = LocalPool(1)
    running, waiting = pool.submit(time.sleep, 60), pool.submit(abs, 1)
    while not running.running():
        time.sleep(0.01)
    pool.kill()
    with pytest.raises(WorkerLost):
        running.result()
    assert waiting.cancelled()


def test_a_process_is_ended_only_at_the_call_that_is_meant():
    with LocalPool(1) as pool:
        number = pool.submit(os.getpid).result()
        call = pool.submit(time.sleep, 0.5)
        while (number, call) not in pool.running():
            time.sleep(0.01)
        pool.end(number, None)
        pool.end(number + 1, call)
        assert call.result() is None
        assert pool.submit(os.getpid).result() == number
        (idle,) = pool.running()
        assert idle == (number, None)
        pool.end(*idle)
        assert pool.submit(os.getpid).result() != number


def test_a_dead_process_whose_child_holds_its_pipes_is_noticed(monkeypatch):
    with LocalPool(1) as pool, pytest.raises(WorkerLost):
        pool.submit(helpers.leave_a_child, 8).result(timeout=6)
