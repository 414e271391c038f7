"""Reading a folder that may come from a stranger: by known names alone, nothing believed unchecked."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from prebake.config import TrainConfig
from prebake.errors import OptionError, RecipeError, RunError
from prebake.recipe import Recipe
from prebake.spreadsheets import as_written
from prebake.version import __version__

if TYPE_CHECKING:
    import os

__all__ = ["CONFIG", "FORMAT", "RECIPE", "THRESHOLDS", "Fitted", "ResultFolder", "numbers", "require_inside"]

FORMAT = 1
CONFIG, RECIPE, THRESHOLDS = "config.json", "recipe.json", "thresholds.json"
STATES = ("training", "complete")
MOST_BYTES = {".json": 1 << 24, ".csv": 1 << 30}

_TEXT_COLUMNS = {"id_code": str, "pack": str, "group": str, "part": str}


@dataclass(frozen=True)
class Fitted:
    """Thresholds that were fitted to the predictions of a run, whether that pays, and why, in words."""

    thresholds: tuple[float, ...]
    worthwhile: bool
    sentence: str


class ResultFolder:
    """What a run and a cross-validation have in common: a JSON file that tells what it is, configuration and recipe.

    Parameters
    ----------
    path
        The folder.

    Raises
    ------
    RunError
        It is no such folder, one of a newer format, or one that says what it cannot say.
    """

    info_name: ClassVar[str]
    verb: ClassVar[str]
    needed: ClassVar[dict[str, type]]

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        name = self.info_name
        info = self._json(name)
        if info.get("format") != FORMAT:
            raise RunError(
                f"{self.path} has another format of run folder",
                expected=f"format {FORMAT}",
                got=info.get("format"),
                do=f"use the version of prebake that made it ({_maker(info)}), or a newer one; this is {__version__}",
            )
        for key, kind in self.needed.items():
            if not isinstance(info.get(key), kind):
                raise RunError(f"{self.path / name} lacks {key!r}, or it is of the wrong kind", got=info.get(key))
        if info["state"] not in STATES:
            raise RunError(f"{self.path / name} has an unknown state", expected=STATES, got=info["state"])
        if not all(isinstance(pack, dict) and _fits(pack, _OF_PACKS) for pack in info["packs"]):
            raise RunError(f"{self.path / name}: 'packs' must be objects with name, path, digest and rows")
        if not _fits(info, _MAY_SAY):
            told = {key: info[key] for key in _MAY_SAY if key in info}
            raise RunError(f"{self.path / name}: a value is of the wrong kind", got=told)
        self.info: dict[str, Any] = info

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.resolve().name

    @property
    def complete(self) -> bool:
        """Whether training has ended."""
        return bool(self.info["state"] == "complete")

    @cached_property
    def config(self) -> TrainConfig:
        """What the training was told."""
        try:
            return TrainConfig.from_dict(self._json(CONFIG))
        except OptionError as error:
            raise RunError(f"{self.path / CONFIG} cannot be used: {error}") from error

    @cached_property
    def recipe(self) -> Recipe | None:
        """The recipe the packs were baked with; ``None`` where they do not tell it (files of the 2019 kernel)."""
        if not (self.path / RECIPE).exists():
            return None
        try:
            return Recipe.from_dict(self._json(RECIPE))
        except RecipeError as error:
            raise RunError(f"{self.path / RECIPE} cannot be used: {error}") from error

    def fitted(self) -> Fitted:
        """Return the thresholds that ``prebake thresholds`` fitted.

        Raises
        ------
        RunError
            There are none.
        """
        if not (self.path / THRESHOLDS).exists():
            command = f"prebake thresholds {shlex.quote(str(self.path))}"
            raise RunError(f"{self.path} has no fitted thresholds", do=command)
        found = self._json(THRESHOLDS)
        cuts, worthwhile, sentence = (found.get(name) for name in ("thresholds", "worthwhile", "sentence"))
        if not (isinstance(cuts, list) and numbers(cuts) and cuts and isinstance(worthwhile, bool)):
            raise RunError(f"{self.path / THRESHOLDS} does not hold what it should", got=found)
        return Fitted(tuple(map(float, cuts)), worthwhile, str(sentence))

    def file(self, name: str) -> Path:
        """Return the path of a file that exists and lies inside the folder."""
        path = self.path / name
        if not path.is_file():
            raise RunError(f"{self.path} has no {name}", do=self._advice())
        require_inside(self.path, path)
        if (size := path.stat().st_size) > (limit := MOST_BYTES.get(path.suffix, size)):
            raise RunError(f"{path} is too large to be what its name says", expected=f"at most {limit} bytes", got=size)
        return path

    def _json(self, name: str) -> dict[str, Any]:
        path = self.file(name)
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, RecursionError, ValueError) as error:
            raise RunError(f"{path} cannot be read: {error}") from error
        if not isinstance(value, dict):
            raise RunError(f"{path} does not hold what it should", expected="a JSON object", got=type(value).__name__)
        return value

    def _table(self, name: str, needed: Sequence[str]) -> pd.DataFrame:
        path = self.file(name)
        try:
            # Text columns are text whatever they look like ("NA", "0709652336e2"); only an empty label is missing.
            table = pd.read_csv(path, dtype=_TEXT_COLUMNS, keep_default_na=False, na_values=_missing(path))
        except (OSError, ValueError) as error:
            raise RunError(f"{path} cannot be read: {error}") from error
        for column in {*_TEXT_COLUMNS} & {*table.columns}:
            table[column] = table[column].map(as_written)
        lacking = [column for column in needed if column not in table.columns]
        if lacking:
            raise RunError(f"{path} lacks columns", expected=", ".join(needed), got=", ".join(table.columns))
        for column in table.columns:
            if column not in _TEXT_COLUMNS and not pd.api.types.is_numeric_dtype(table[column]):
                raise RunError(f"{path} has something else than numbers in column {column!r}")
        return table

    def _advice(self) -> str:
        if (self.path / self.info_name).is_file():
            return f"give its prebake {self.verb} command again: an interrupted training goes on where it was"
        return f"name a folder that prebake {self.verb} wrote"


def require_inside(folder: Path, path: Path) -> None:
    """Refuse a path that leads out of a folder, so that a folder from a stranger is that folder and nothing else.

    Raises
    ------
    RunError
        It is a link to elsewhere.
    """
    if not path.resolve().is_relative_to(folder.resolve()):
        raise RunError(f"{path} leads out of the run folder", got=f"a link to {path.resolve()}", do="copy it in")


def numbers(value: object, count: int | None = None) -> bool:
    """Whether something read from JSON is a list of (so many) finite numbers."""
    return isinstance(value, list) and count in (None, len(value)) and all(map(_is_number, value))


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and -1e300 < value < 1e300  # type: ignore[operator] # NaN is not, nor 10**400


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 62


def _is_text(value: object) -> bool:
    return isinstance(value, str)


# What may be absent, but is not believed to be something else where it is there.
_MAY_SAY = {
    **dict.fromkeys(("best_epoch", "n_train", "n_val", "n_unlabelled", "n_test"), _is_count),
    "seconds": _is_number,
}
_OF_PACKS = {**dict.fromkeys(("name", "path", "digest"), _is_text), "rows": _is_count}


def _fits(told: Mapping[str, Any], kinds: Mapping[str, Callable[[object], bool]]) -> bool:
    return all(fits(told[key]) for key, fits in kinds.items() if key in told)


def _missing(path: Path) -> dict[str, list[str]]:
    with path.open(encoding="utf-8") as file:
        header = file.readline().strip().split(",")
    return {column: [""] for column in header if column not in _TEXT_COLUMNS}


def _maker(info: Mapping[str, Any]) -> str:
    versions = info.get("versions")
    return str(versions.get("prebake", "unknown")) if isinstance(versions, dict) else "unknown"
