"""Is anything lost to a kill? Kills commands with SIGKILL at random moments, gives them again, and compares the end.

python torture/kills.py [--kinds pack update repair train cv] [--kills 100] [--seed 0] [--keep FOLDER]

Each kind of command runs once undisturbed. Then, so many times: the same from the same beginning, killed at a random
moment (half the time the command alone, so that its workers are orphans; half the time one of its processes, which may
be a worker), and given once more. A pack must end with the same bytes, a training with the same numbers; and
after the kill, what stands under the name of a pack must be what was there before or the whole new pack. Prints a
table; ends with 1 where anything differs.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import safetensors.numpy
from forked import Forked

from prebake.files import digest
from prebake.fundus_art import generate
from prebake.store import Pack

PATIENCE = 120.0  # seconds that a command may take
PACK = ("pack", "photographs", "-o", "eyes.h5", "--recipe", "crop", "--size", "64", "--codec", "zstd", "-j", "2")
TRAINING = ("--model", "test_efficientnet", "--weights", "none", "--epochs", "2", "--batch-size", "8", "--threads", "1")
OFTEN = ("--checkpoint-minutes", "0.00001")
TIMED = ("seconds", "waiting")


@dataclass(frozen=True)
class Kind:
    """One kind of command.

    Parameters
    ----------
    begin
        Fills an empty folder with what the command starts from, given the folder with photographs and their pack.
    words
        The command, to be run in that folder.
    end
        Describes what the command has made of the folder.
    pack
        The pack that the command writes, if it writes one.
    forked
        Whether the command runs in a process that has loaded torch already.
    """

    begin: Callable[[Path, Path], None]
    words: tuple[str, ...]
    end: Callable[[Path], str]
    pack: str = ""
    forked: bool = False


@dataclass
class Tally:
    """What came of the kills of one kind."""

    seconds: float
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def run(words: Sequence[str], folder: Path, *, forked: bool = False) -> subprocess.Popen[bytes] | Forked:
    """Start a command in a folder, in a session of its own, silent."""
    if forked:
        return Forked(words, folder)
    command = [sys.executable, "-m", "prebake", *words]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def finish(words: Sequence[str], folder: Path, seconds: float = PATIENCE, *, forked: bool = False) -> str:
    """Run a command to its end; return what it complained of, empty where it succeeded."""
    process = run(words, folder, forked=forked)
    try:
        _, error = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        kill_all(process.pid)
        process.communicate(timeout=seconds)
        return "took too long"
    return "" if process.returncode == 0 else error.decode(errors="replace").strip() or f"exit {process.returncode}"


def session(leader: int) -> list[int]:
    """Return the processes of a session, the leader first."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state = entry.joinpath("stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(state[3]) == leader and state[0] != "Z":
            found.append(int(entry.name))
    return sorted(found, key=lambda one: (one != leader, one))


def kill_all(leader: int) -> None:
    """End what is left of a session."""
    for process in session(leader):
        os.kill(process, signal.SIGKILL)


def kill_at(kind: Kind, folder: Path, moment: float, chance: random.Random) -> str:
    """Start a command, kill it or one of its processes at a moment, wait until all are gone; say what was killed."""
    process = run(kind.words, folder, forked=kind.forked)
    try:
        process.communicate(timeout=moment)
    except subprocess.TimeoutExpired:
        pass
    else:
        return "ended before"
    there = session(process.pid)
    victim = process.pid if chance.random() < 0.5 or not there else chance.choice(there)
    try:
        os.kill(victim, signal.SIGKILL)
    except ProcessLookupError:
        victim = 0
    process.communicate(timeout=PATIENCE)
    end = time.monotonic() + 30
    while session(process.pid) and time.monotonic() < end:
        time.sleep(0.02)
    if session(process.pid):
        kill_all(process.pid)
        return "orphans stayed"
    return "ended before" if not victim else "command killed" if victim == process.pid else "a process of it killed"


def draw(drawn: Path) -> None:
    """Draw what all commands begin with: photographs, their labels, and their pack."""
    generate(drawn, count=40, size=(640, 480), progress=False)
    (drawn / "train_images").rename(drawn / "photographs")
    (drawn / "train.csv").rename(drawn / "photographs" / "train.csv")
    if problem := finish(PACK, drawn):
        raise SystemExit(problem)


def photographs(folder: Path, drawn: Path) -> None:
    """Begin with photographs alone."""
    shutil.copytree(drawn / "photographs", folder / "photographs")


def changed(folder: Path, drawn: Path) -> None:
    """Begin with a pack, of whose photographs some have changed since."""
    photographs(folder, drawn)
    only_pack(folder, drawn)
    paths = sorted((folder / "photographs").glob("*.png"))
    for path, other in zip(paths[::3], paths[1::3], strict=False):
        shutil.copy(other, path)


def damaged(folder: Path, drawn: Path) -> None:
    """Begin with photographs and their pack, in which every second image is damaged."""
    photographs(folder, drawn)
    data = (drawn / "eyes.h5").read_bytes()
    with Pack(drawn / "eyes.h5") as pack:
        for row in range(0, len(pack), 2):
            encoded = bytes(pack.encoded(row))  # type: ignore[arg-type]
            data = data.replace(encoded, encoded[: len(encoded) // 2] + bytes(len(encoded) - len(encoded) // 2))
    (folder / "eyes.h5").write_bytes(data)


def only_pack(folder: Path, drawn: Path) -> None:
    """Begin with a pack."""
    shutil.copy(drawn / "eyes.h5", folder / "eyes.h5")


def the_pack(folder: Path) -> str:
    """Digest of the pack; nothing but it, and the folder that packing keeps, may be there."""
    others = {path.name for path in folder.iterdir()} - {"photographs", "eyes.h5", ".eyes.h5.prebake"}
    return digest((folder / "eyes.h5").read_bytes()) + "".join(sorted(others))


def the_run(folder: Path) -> str:
    """Digest the numbers of a run: metrics without times, predictions, weights."""
    return _numbers(folder / "run")


def the_folds(folder: Path) -> str:
    """Digest the numbers of a cross-validation."""
    oof = digest((folder / "cv" / "oof.csv").read_bytes())
    return "\n".join([oof, *(_numbers(path) for path in sorted((folder / "cv").glob("fold-*")))])


def _numbers(path: Path) -> str:
    metrics = pd.read_csv(path / "metrics.csv").drop(columns=list(TIMED)).to_csv(index=False)
    files = [digest((path / "validation.csv").read_bytes())]
    for name in ("best.safetensors", "last.safetensors"):
        tensors = safetensors.numpy.load_file(path / name)  # the bytes of the file also tell the order of its notes
        files += [f"{key} {digest(tensor.tobytes())}" for key, tensor in sorted(tensors.items())]
    left = sorted(entry.name for entry in path.iterdir() if entry.name == "checkpoints" or entry.name.startswith("."))
    return digest("\n".join([metrics, *files, *left]).encode())


KINDS = {
    "pack": Kind(photographs, PACK, the_pack, "eyes.h5"),
    "update": Kind(changed, PACK, the_pack, "eyes.h5"),
    "repair": Kind(damaged, ("repair", "eyes.h5", "photographs"), the_pack, "eyes.h5"),
    "train": Kind(only_pack, ("train", "eyes.h5", "-o", "run", *TRAINING, *OFTEN), the_run, forked=True),
    "cv": Kind(only_pack, ("cv", "eyes.h5", "-o", "cv", "--folds", "2", *TRAINING, *OFTEN), the_folds, forked=True),
}


def tortured(name: str, kills: int, chance: random.Random, scratch: Path, keep: Path | None) -> Tally:
    """Kill one kind of command so many times; keep what ends otherwise, where it is told to."""
    kind, drawn = KINDS[name], scratch / "drawn"
    beginning = scratch / f"{name}-beginning"
    beginning.mkdir()
    kind.begin(beginning, drawn)
    seconds, whole = 0.0, scratch / f"{name}-whole"
    for folder in (scratch / f"{name}-warm", whole):  # the first time takes longer
        shutil.copytree(beginning, folder)
        start = time.perf_counter()
        if problem := finish(kind.words, folder, forked=kind.forked):
            raise SystemExit(f"{name} does not even work undisturbed: {problem}")
        seconds = time.perf_counter() - start
    tally, earliest = (
        Tally(seconds),
        0.0 if kind.forked else 0.2 * seconds,
    )  # while Python starts there is nothing to lose
    expected = kind.end(whole)
    packs = [folder / kind.pack for folder in (beginning, whole) if kind.pack]
    allowed = {digest(path.read_bytes()) for path in packs if path.exists()}
    for number in range(kills):
        folder = shutil.copytree(beginning, scratch / f"{name}-{number}")
        moment = chance.uniform(earliest, 1.1 * seconds)
        tally.outcomes[kill_at(kind, folder, moment, chance)] += 1
        target = folder / kind.pack
        if kind.pack and target.exists() and digest(target.read_bytes()) not in allowed:
            tally.wrong.append(f"killed after {moment:.3f} s: the pack is neither the old one nor the new one")
        wrong = len(tally.wrong)
        if problem := finish(kind.words, folder, forked=kind.forked):
            tally.wrong.append(f"killed after {moment:.3f} s, the second time: {problem}")
        elif kind.end(folder) != expected:
            tally.wrong.append(f"killed after {moment:.3f} s: it ends otherwise")
        if keep is not None and len(tally.wrong) > wrong:
            shutil.copytree(folder, keep / folder.name)
        shutil.rmtree(folder)
    return tally


def main() -> None:
    """Torture, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--kills", type=int, default=100, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="where to keep folders that end otherwise")
    options = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        draw(scratch / "drawn")
        for kind in options.kinds:
            tally = tortured(kind, options.kills, random.Random(f"{options.seed} {kind}"), scratch, options.keep)
            told = ", ".join(f"{count} {what}" for what, count in sorted(tally.outcomes.items()))
            print(f"{kind:7} {tally.seconds:5.1f} s undisturbed; {told}; {len(tally.wrong)} wrong", flush=True)
            for line in tally.wrong:
                print(f"        {line}")
            wrong += len(tally.wrong)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
