"""A pack in several files goes through all commands as one file does, and ends with the same numbers."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pandas as pd
import pytest

from prebake.cli import main
from prebake.fundus_art import generate
from prebake.report import commands
from prebake.runs import CrossValidation, Run
from prebake.store import open_pack
from training_helpers import weights

TRAINING = "--model test_efficientnet --weights none --epochs 2 --batch-size 8 --threads 1"
PACKING = "pack ../eyes/train_images --labels ../eyes/train.csv -o eyes.h5 --size 64 --recipe crop --codec raw -j 1"
COMMANDS = f"""
verify PACK
audit PACK -o audit.html
split PACK -o folds.csv --folds 2
train PACK -o run {TRAINING}
cv PACK -o cv --folds folds.csv {TRAINING}
thresholds cv
predict cv PACK -o predictions.csv
explain cv PACK -o explained --count 2 --source ../eyes/train_images
report run
report cv --source ../eyes/train_images
"""
JSON = ("audit PACK --json", "compare run cv --json")
TABLES = ("folds.csv", "predictions.csv", "run/validation.csv", "run/split.csv", "run/metrics.csv", "cv/oof.csv")


@pytest.mark.slow
def test_one_file_and_a_set_of_files_go_through_all_commands_with_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    generate(tmp_path / "eyes", count=24, size=(160, 120), progress=False)
    told = {}
    for name, pack, more in (("one", "eyes.h5", ""), ("many", "eyes-*.h5", "--max-pack-size 400kB")):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        for line in (f"{PACKING} {more}", *COMMANDS.strip().splitlines()):
            assert main(line.replace("PACK", pack).split()) == 0, line + capsys.readouterr().err
        capsys.readouterr()
        told[name] = []
        for line in JSON:
            assert main(line.replace("PACK", pack).split()) == 0
            told[name].append(json.loads(capsys.readouterr().out))
    one, many = tmp_path / "one", tmp_path / "many"
    assert len(open_pack(many / "eyes-*.h5").members) == 3
    for table in TABLES:
        assert numbers(many / table).equals(numbers(one / table)), table
    for run in ("run", "cv/fold-0", "cv/fold-1"):
        mine, theirs = weights(Run(many / run)), weights(Run(one / run))
        assert all(mine[key].equal(tensor) for key, tensor in theirs.items()), run
    for file in ("cv/thresholds.json", *(path.relative_to(one).as_posix() for path in one.glob("explained/*.png"))):
        assert (many / file).read_bytes() == (one / file).read_bytes(), file
    assert without_names(told["many"]) == without_names(told["one"])
    require_the_pattern_in_commands(many)


def numbers(path: Path) -> pd.DataFrame:
    """Return a table without the names of files and without times."""
    return pd.read_csv(path).drop(columns=["pack", "seconds", "waiting"], errors="ignore")


def without_names(value: object) -> object:
    """Return what JSON tells without the packs that it names, and without how many they are."""
    if isinstance(value, dict):
        return {key: without_names(one) for key, one in value.items() if key not in ("packs", "pack")}
    return [without_names(one) for one in value] if isinstance(value, list) else value


def require_the_pattern_in_commands(folder: Path) -> None:
    """What the report prints to do the same again names the set, and is complete."""
    cv, pattern = CrossValidation(folder / "cv"), str(folder / "eyes-*.h5")
    again, audit, pack = (
        shlex.split(" ".join(words)) for words in (commands.cross_validate(cv), commands.audit(cv), commands.pack(cv))
    )
    assert again[:4] == ["prebake", "cv", pattern, "-o"]
    assert audit == ["prebake", "audit", pattern, "-o", "audit.html"]
    assert pack[:5] == ["prebake", "pack", "PHOTOGRAPHS", "-o", str(folder / "eyes.h5")]
    assert pack[-2:] == ["--max-pack-size", "SIZE"]
    cv.info["packs"].pop()
    assert shlex.split(" ".join(commands.audit(cv)))[2:4] == [
        os.fspath(folder / f"eyes-0000{number}-of-00003.h5") for number in range(2)
    ]
