"""The tortures of ``make torture``, cut short."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def torture(script: str, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "torture" / script), *options],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.slow
def test_each_poisonous_photograph_is_baked_right_or_named_and_spoils_no_other() -> None:
    limits = ("--time-limit", "8", "--memory-limit", "0.8")
    output = torture("poison.py", "--files", "150", "--deeds", "1", "--no-gigantic", *limits)
    assert output.startswith("156 files in ")
    for words in ("died twice (signal 11)", "died twice (signal 6)", "died twice (exit code 3)"):
        assert f"    1  the process that baked it {words}" in output
    assert "GB at the peak" in output


@pytest.mark.slow
def test_killed_at_random_moments_commands_end_the_same_when_given_again() -> None:
    output = torture("kills.py", "--kinds", "pack", "repair", "train", "--kills", "2")
    assert [line.split()[0] for line in output.splitlines()] == ["pack", "repair", "train"]
    assert all(line.endswith("; 0 wrong") for line in output.splitlines())


@pytest.mark.slow
def test_told_to_end_at_random_moments_commands_end_with_a_line_and_leave_nothing() -> None:
    commands = ("pack", "train", "verify")
    output = torture("signals.py", "--signals", "2", "--seconds", "60", "--commands", *commands)
    lines = output.splitlines()[1:]
    assert [line.rsplit(maxsplit=5)[0] for line in lines] == list(commands)
    assert all(line.split()[-1] == "0" for line in lines), output
