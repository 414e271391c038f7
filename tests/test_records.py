"""What is handed over between modules."""

from __future__ import annotations

import doctest

import pytest

import prebake.records
from prebake.errors import DecodeError, SourceError
from prebake.records import Failure, Sample

SAMPLE = Sample("eyes/a", "/home/somebody/eyes", "left/a.png", 10, "", source="eyes")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DecodeError("cut short", got="12 bytes"), "cut short (12 bytes)"),
        (SourceError("eyes/a (/home/somebody/eyes/left/a.png) is gone"), "is gone"),
        (PermissionError(13, "Permission denied"), "cannot be read: Permission denied"),
        (
            ValueError("no disc in\n/home/somebody/eyes/left/a.png"),
            "the recipe raised ValueError: no disc in .../left/a.png",
        ),
    ],
)
def test_a_failure_says_what_went_wrong_in_one_line_and_not_where_the_photograph_lies(error, reason):
    assert Failure.of(SAMPLE, error) == Failure("eyes/a", "eyes/left/a.png", reason)


def test_a_reason_is_cut_where_it_would_fill_the_terminal():
    failure = Failure.of(SAMPLE, ValueError("x" * 1000))
    assert len(failure.reason) == 300
    assert failure.reason.endswith("...")


def test_the_examples_run():
    assert doctest.testmod(prebake.records).failed == 0
