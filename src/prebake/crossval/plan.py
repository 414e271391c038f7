"""What a cross-validation will train: its folds, made or read once, and the folder that keeps them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prebake.errors import OptionError, RunError
from prebake.files import remove_leftovers, write_json
from prebake.locks import held_lock
from prebake.runs import (
    CONFIG,
    CV,
    FOLDS,
    FORMAT,
    OOF,
    RECIPE,
    REPORT,
    THRESHOLDS,
    CrossValidation,
    fold_folder,
    repeat_folder,
)
from prebake.splits import Folds, make_folds
from prebake.store import PackRows, Packs
from prebake.training.data import Data, Fold, gather
from prebake.training.folder import config_differences, now, pack_differences, versions

if TYPE_CHECKING:
    from prebake.config import TrainConfig

__all__ = ["Plan", "command", "in_turn", "prepare"]

_WRITTEN = (CV, CONFIG, RECIPE, FOLDS, OOF)
_OWN = re.compile("|".join(map(re.escape, (*_WRITTEN, THRESHOLDS, REPORT))) + r"|repeat-\d+")

FoldsFrom = int | str | os.PathLike[str]


@dataclass(frozen=True)
class Plan:
    """What is trained into a folder: a configuration, and the folds of each repeat."""

    folder: Path
    config: TrainConfig
    folds: tuple[Folds, ...]

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the folds, the same in every repeat."""
        return self.folds[0].numbers

    def config_of(self, repeat: int) -> TrainConfig:
        """Return the configuration of a repeat (from 1): each has a seed of its own."""
        return dataclasses.replace(self.config, seed=self.config.seed + repeat - 1)

    def run_folder(self, repeat: int, fold: int) -> Path:
        """Return the run folder of a fold."""
        return fold_folder(self.folder, fold, repeat, len(self.folds))

    def data(self, repeat: int, fold: int) -> Data:
        """Return what a fold learns from."""
        folds = self.folds[repeat - 1]
        return gather(folds.rows, self.config_of(repeat), Fold(folds, fold))


@contextlib.contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Wait for other processes that are in such a block for the same folder; where it may be written to."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(held_lock(folder / ".lock", wait=True))
        yield


def prepare(packs: Packs, folder: Path, config: TrainConfig, folds: FoldsFrom, repeats: int) -> Plan:
    """Make or read the folds and write down what will be trained; or take up what the folder says, and check it.

    Raises
    ------
    OptionError
        There are no such repeats.
    RunError
        The folder holds another cross-validation or something else.
    SplitError, RecipeMismatch
        The folds or packs cannot be used.
    """
    made = isinstance(folds, int)
    if repeats < 1 or (repeats > 1 and not made):
        raise OptionError(
            "so many repeats cannot be made",
            expected="1 or more; 1 with a table of folds",
            got=repeats,
            do="give the number of folds (--folds 5), and every repeat makes its own",
        )
    rows = PackRows.of(packs)
    folder.mkdir(parents=True, exist_ok=True)
    with in_turn(folder):
        _require_own(folder)
        for place in (folder, *(repeat_folder(folder, repeat, repeats) for repeat in range(1, repeats + 1))):
            remove_leftovers(place, _WRITTEN)
        if (folder / CV).exists() and CrossValidation(folder).begun():
            return _again(rows, CrossValidation(folder), config, folds, repeats)
        plan = Plan(folder, config, tuple(_folds(rows, folds, config, repeat) for repeat in range(repeats)))
        _write(plan, folds)
    return plan


def _folds(rows: PackRows, folds: FoldsFrom, config: TrainConfig, repeat: int) -> Folds:
    """Make the folds of a repeat (from 0), or read them."""
    if isinstance(folds, int):
        return make_folds(rows, folds=folds, seed=config.seed + repeat, use_test=config.use_test)
    return Folds.load(folds, rows, use_test=config.use_test)


def _require_own(folder: Path) -> None:
    """Refuse a folder that holds something else; without ``cv.json`` there cannot be a fold yet."""
    allowed = re.compile(rf"{_OWN.pattern}|fold-\d+") if (folder / CV).exists() else _OWN
    others = [path.name for path in folder.iterdir() if path.name[0] != "." and not allowed.fullmatch(path.name)]
    if others:
        raise RunError(
            f"{folder} holds something else", got=", ".join(sorted(others)[:5]), do="choose another folder with -o"
        )


def _again(rows: PackRows, found: CrossValidation, config: TrainConfig, folds: FoldsFrom, repeats: int) -> Plan:
    """Take up a cross-validation that has begun, or say how it differs from what is asked."""
    now_packs = [{"name": name, "digest": pack.digest} for name, pack in zip(rows.names, rows.packs, strict=True)]
    differences = [
        *config_differences(found.config, config),
        *pack_differences(found.info["packs"], now_packs),
    ]
    if found.repeats != repeats:
        differences.append(f"repeats: {found.repeats} before, {repeats} now")
    before, asked = _described(found), f"{folds} made here" if isinstance(folds, int) else f"those of {folds}"
    if isinstance(folds, int) and before != asked:
        differences.append(f"folds: {before} before, {asked} now")
    if not differences:
        kept = tuple(
            Folds.load(repeat_folder(found.path, repeat, repeats) / FOLDS, rows, use_test=config.use_test)
            for repeat in range(1, repeats + 1)
        )
        if isinstance(folds, int) or (_folds(rows, folds, config, 0).fold == kept[0].fold).all():
            _reopen(found)
            return Plan(found.path, config, kept)
        differences.append(f"folds: {before} before, {asked} now")
    raise RunError(
        f"{found.path} holds another cross-validation ({found.info['state']})\n"
        + "\n".join(f"    {line}" for line in differences),
        do="choose another folder with -o, or give the packs, folds and options of before",
    )


def _reopen(found: CrossValidation) -> None:
    """Take back that a cross-validation is complete where a fold was removed: its table is of before."""
    if found.complete and found.missing():
        write_json(found.path / CV, {**found.info, "state": "training"})


def _described(found: CrossValidation) -> str:
    return f"{len(found.folds)} made here" if found.info.get("made") else f"{len(found.folds)} of a table"


def _write(plan: Plan, folds: FoldsFrom) -> None:
    """Write what is known before the first fold; ``cv.json`` last, for it makes the folder a cross-validation."""
    repeats = len(plan.folds)
    data = plan.data(1, plan.numbers[0])
    for repeat, each in enumerate(plan.folds, start=1):
        place = repeat_folder(plan.folder, repeat, repeats)
        place.mkdir(exist_ok=True)
        each.save(place / FOLDS)
    write_json(plan.folder / CONFIG, plan.config.to_dict())
    if data.recipe is not None:
        write_json(plan.folder / RECIPE, data.recipe.to_dict())
    info = {
        "format": FORMAT,
        "state": "training",
        "created": now(),
        "folds": list(plan.numbers),
        "made": isinstance(folds, int),
        "repeats": repeats,
        "packs": data.describe_packs(),
        "command": command(plan, folds),
        "versions": versions(),
    }
    write_json(plan.folder / CV, info)


def command(plan: Plan, folds: FoldsFrom) -> list[str]:
    """Return the words of the command that makes this cross-validation."""
    packs = [os.fspath(pack.path) for pack in plan.folds[0].rows.packs]
    words = [
        "prebake",
        "cv",
        *packs,
        "-o",
        str(plan.folder),
        "--folds",
        os.fspath(folds) if not isinstance(folds, int) else str(folds),
    ]
    if len(plan.folds) > 1:
        words += ["--repeats", str(len(plan.folds))]
    return words + plan.config.options()
