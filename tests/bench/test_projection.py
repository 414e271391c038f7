"""From one photograph to all: the arithmetic, against numbers reckoned by hand."""

from __future__ import annotations

import math

import pytest

from prebake.bench.projection import break_even, costs, parts_of_an_epoch
from prebake.bench.result import Spread
from prebake.bench.rounds import at_least, in_turn
from prebake.bench.sampling import choose
from prebake.progress import progress


def test_the_table_of_2019_comes_out_of_its_own_numbers():
    lines = costs({"photographs": (None, 600.0), "packed": (500.0, 35.0)})
    assert [line.what for line in lines] == [
        "packing",
        "one epoch",
        "packing and 10 epochs",
        "packing and 5 folds of 10 epochs",
    ]
    assert [line.seconds["photographs"] for line in lines] == [None, 600.0, 6000.0, 30000.0]
    assert [line.seconds["packed"] for line in lines] == [500.0, 35.0, 850.0, 2250.0]


def test_what_was_not_measured_stays_unknown():
    assert [line.seconds["a"] for line in costs({"a": (8.0, None)})] == [8.0, None, None, None]


def test_packing_pays_when_what_it_saves_in_each_epoch_has_made_up_for_it():
    assert break_even(500.0, before=600 / 3662, after=35 / 3662, count=3662) == pytest.approx(500 / 565)
    assert break_even(30.0, before=0.2, after=0.1, count=100) == pytest.approx(3.0)


def test_packing_that_saves_nothing_never_pays():
    assert break_even(1.0, before=0.1, after=0.1, count=100) == math.inf
    assert break_even(1.0, before=0.1, after=0.2, count=100) == math.inf


def test_the_parts_of_an_epoch_add_up_to_it():
    stages = {"read": 0.001, "decode": 0.060, "preprocess": 0.200, "augment": 0.003}
    parts = parts_of_an_epoch(stages, whole=0.190, step=0.058)
    assert list(parts) == [*stages, "step"]
    assert sum(parts.values()) == pytest.approx(0.190)
    assert parts["step"] == 0.058
    assert parts["decode"] / parts["read"] == pytest.approx(60)
    assert parts["decode"] == pytest.approx(0.132 * 60 / 264)


def test_a_step_that_took_longer_alone_than_the_whole_epoch_leaves_nothing_for_loading():
    assert parts_of_an_epoch({"read": 0.1}, whole=1.0, step=1.1) == {"read": 0.0, "step": 1.0}


def test_without_a_model_the_stages_share_the_whole():
    assert parts_of_an_epoch({"read": 1.0, "augment": 3.0}, whole=8.0, step=0.0) == {"read": 2.0, "augment": 6.0}


def test_a_spread_is_median_and_extremes():
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0, 3)


def test_arms_take_turns_and_no_round_begins_that_would_not_end_in_time():
    calls: list[str] = []
    arms = {"a": lambda: float(len(calls.append("a") or calls)), "b": lambda: float(len(calls.append("b") or calls))}
    with progress("", 10, enabled=False) as bar:
        found = in_turn(arms, bar, seconds=60.0)
        assert "".join(calls) == "ab" * 5
        assert found["a"] == Spread(5.0, 1.0, 9.0, 5)
        calls.clear()
        in_turn(arms, bar, seconds=0.0)
        assert "".join(calls) == "ab" * 2


def test_quick_work_is_measured_on_more_photographs():
    assert at_least(32, expected=0.1) == 32
    assert at_least(32, expected=0.001) == 2000
    assert at_least(32, expected=0.0, most=500) == 500


def test_the_sample_is_spread_over_the_source_and_always_the_same():
    assert choose(range(100), 4) == [12, 37, 62, 87]
    assert choose(range(3), 32) == [0, 1, 2]
