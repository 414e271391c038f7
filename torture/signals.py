"""Does a command end when it is told to? Sends SIGINT and SIGTERM to every command that takes long, at random moments.

python torture/signals.py [--commands pack train ...] [--signals 10] [--seed 0]

Each command runs once undisturbed, or for so long as random moments are drawn from. Then, so many times: the same from
the same beginning, and a signal at a random moment, start-up included: SIGTERM to the command, SIGINT to the command,
or SIGINT to its whole process group as a terminal does; each third time a second signal follows a little later.
Measured is the time until the command and all its processes are gone. It must say one line, which begins with
"interrupted:", end with 130 or 143, and leave no process and no temporary file. What writes a pack or a run is given
once more, and must end as if nothing had happened. Prints a table; ends with 1 where anything differs, or took more
than --seconds.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from kills import KINDS, PACK, PATIENCE, TRAINING, Kind, draw, finish, kill_all, only_pack, photographs, run, session

LONGEST = 30.0  # seconds from the start within which signals are sent
SETTINGS = ("--recipe", "crop", "--size", "64")


def everything(folder: Path, drawn: Path) -> None:
    """Begin with photographs, their pack, a run and a cross-validation."""
    shutil.copytree(drawn, folder, dirs_exist_ok=True)


def _anything(_: Path) -> str:
    return ""


def _only(begin: Callable[[Path, Path], None], *words: str) -> Kind:
    return Kind(begin, words, _anything)


COMMANDS = {
    **KINDS,
    "cv --parallel": _only(only_pack, *KINDS["cv"].words, "--parallel", "2"),
    "pack, a set": _only(photographs, *PACK, "--max-pack-size", "500kB"),
    "verify": _only(only_pack, "verify", "eyes.h5"),
    "show": _only(everything, "show", "eyes.h5", "-o", "grid.png", "--before", "photographs"),
    "audit": _only(only_pack, "audit", "eyes.h5", "-o", "audit.html"),
    "split": _only(only_pack, "split", "eyes.h5", "-o", "folds.csv", "--folds", "2"),
    "compare": _only(everything, "compare", "cv", "cv"),
    "ablate": _only(photographs, "ablate", "photographs", "-o", "ablation", "--recipes", "crop,resize", "--folds", "2",
                    "--size", "64", *TRAINING),
    "predict": _only(everything, "predict", "cv", "photographs", "-o", "predictions.csv", "--tta"),
    "explain": _only(everything, "explain", "cv", "photographs", "-o", "explanations"),
    "report": _only(everything, "report", "cv"),
    "bench": _only(photographs, "bench", "photographs", "--photographs", "8", "--batch-size", "4", "-j", "2",
                   "--model", "test_efficientnet", *SETTINGS),
    "plan": _only(photographs, "plan", "photographs", *SETTINGS),
    "demo": _only(lambda _folder, _drawn: None, "demo", "-o", "demo"),
}  # fmt: skip


@dataclass
class Tally:
    """What came of the signals that one command was sent."""

    span: float
    early: int = 0
    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def tell(words: tuple[str, ...], folder: Path, moment: float, chance: random.Random) -> tuple[float, str, list[str]]:
    """Start a command and send it a signal; return the seconds that it went on, what it said, and what is wrong.

    The seconds are negative where it had ended before.
    """
    number = chance.choice((signal.SIGINT, signal.SIGTERM))
    group = number == signal.SIGINT and chance.random() < 0.5
    again = chance.uniform(0.01, 0.5) if chance.random() < 1 / 3 else None
    process = run(words, folder)
    try:
        process.wait(timeout=moment)
    except subprocess.TimeoutExpired:
        pass
    else:
        said = process.communicate()[1].decode(errors="replace")
        return -1, "", [f"ended by itself with {process.returncode}: {said}"] if process.returncode else []
    start = time.monotonic()
    os.killpg(process.pid, number) if group else process.send_signal(number)
    if again is not None:
        try:
            process.wait(timeout=again)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
    while process.poll() is None or session(process.pid):
        if time.monotonic() > start + PATIENCE:
            kill_all(process.pid)
            break
        time.sleep(0.01)
    seconds = time.monotonic() - start
    said = process.communicate()[1].decode(errors="replace")
    if process.returncode == 0:  # it came too late to stop anything
        return -1, said, []
    name = f"{number.name}{' to the group' if group else ''}{'' if again is None else ', twice'} after {moment:.2f} s"
    wrong = []
    if process.returncode != 128 + number:
        wrong.append(f"{name}: ended with {process.returncode}")
    ours, bad = said.count("interrupted: "), ("Traceback", "Exception", "Error", "Fatal", "leaked")
    if ours != 1 or not said.splitlines()[-1].startswith("interrupted: ") or any(word in said for word in bad):
        wrong.append(f"{name}: said {said[-600:]!r}")
    return seconds, said, wrong


def tortured(name: str, signals: int, chance: random.Random, scratch: Path, limit: float) -> Tally:
    """Send one command so many signals, each at another run of it."""
    kind, drawn = COMMANDS[name], scratch / "drawn"
    beginning = scratch / "beginning"
    beginning.mkdir()
    kind.begin(beginning, drawn)
    whole = shutil.copytree(beginning, scratch / "whole")
    start, kept = time.perf_counter(), kind.end is not _anything
    problem = finish(kind.words, whole, PATIENCE if kept else LONGEST)
    if problem and (kept or problem != "took too long"):
        raise SystemExit(f"{name} does not even work undisturbed: {problem}")
    tally = Tally(min(time.perf_counter() - start, LONGEST))
    expected = kind.end(whole) if kept else ""
    temporary = Path(os.environ["TMPDIR"])
    usual = {path.name for path in temporary.iterdir()}  # what libraries keep there for the next time
    for number in range(signals):
        folder = shutil.copytree(beginning, scratch / f"trial-{number}")
        moment = chance.uniform(0.06, tally.span)
        seconds, said, wrong = tell(kind.words, folder, moment, chance)
        if seconds < 0:
            tally.early += 1
        else:
            tally.seconds.append(seconds)
            tally.said.append(said)
            if seconds > limit:
                wrong.append(f"after {moment:.2f} s: took {seconds:.2f} s to end")
        left = [*folder.rglob("*.tmp*"), *(path for path in temporary.iterdir() if path.name not in usual)]
        if left:
            wrong.append(f"after {moment:.2f} s: left {', '.join(path.name for path in left)}")
            usual |= {path.name for path in left}
        if kept and (problem := finish(kind.words, folder)):
            wrong.append(f"after {moment:.2f} s, given again: {problem}")
        elif kept and kind.end(folder) != expected:
            wrong.append(f"after {moment:.2f} s: it ends otherwise")
        tally.wrong += wrong
        shutil.rmtree(folder)
    shutil.rmtree(beginning)
    shutil.rmtree(whole)
    return tally


def main() -> None:
    """Torture, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--signals", type=int, default=10, help="to each command")
    parser.add_argument("--seconds", type=float, default=2.0, help="within which it must have ended")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--said", action="store_true", help="also print all that was said")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what is in the background without
    wrong = 0
    print("command           sent  early  median s  longest s  wrong", flush=True)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        os.environ["TMPDIR"] = str(scratch / "tmp")
        (scratch / "tmp").mkdir()
        draw(scratch / "drawn")
        if any(COMMANDS[command].begin is everything for command in options.commands):
            cv = ("cv", "eyes.h5", "-o", "cv", "--folds", "2", *TRAINING)
            if problem := finish(cv, scratch / "drawn"):
                raise SystemExit(problem)
        for command in options.commands:
            chance = random.Random(f"{options.seed} {command}")
            tally = tortured(command, options.signals, chance, scratch, options.seconds)
            middle, longest = statistics.median(tally.seconds or [0]), max(tally.seconds, default=0)
            numbers = f"{options.signals:5}  {tally.early:5}  {middle:8.2f}  {longest:9.2f}  {len(tally.wrong):5}"
            print(f"{command:16} {numbers}", flush=True)
            for line in tally.wrong:
                print(f"    {line}", flush=True)
            for line in sorted(set(tally.said)) if options.said else ():
                print(f"    > {line.rstrip()}")
            wrong += len(tally.wrong)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
