"""What a training learns from: the labelled rows of several packs as one, split, and how images become numbers."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from prebake.augment import Augment
from prebake.duplicates import find_duplicates
from prebake.errors import RecipeMismatch, RunError, SplitError
from prebake.recipe import require_same
from prebake.splits import holdout, together
from prebake.store import Pack, PackRows, Packs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from prebake.config import TrainConfig
    from prebake.models import DataConfig
    from prebake.recipe import Recipe
    from prebake.splits import Folds

__all__ = ["Data", "Fold", "augmentation", "gather"]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
COLOUR_CHANGING = ("kernel", "graham", "ben")
"""Recipes that subtract the local average: what they give no longer has the colours that pretraining saw."""


@dataclass(frozen=True)
class Fold:
    """One fold of several: the rows that validate; those of all other folds train."""

    folds: Folds
    number: int


@dataclass(frozen=True)
class Data:
    """The rows of several packs one after another, and which of them train and validate.

    Parameters
    ----------
    rows
        The rows of opened packs of one recipe.
    groups
        (N,) equal names for what must stay together (a patient's photographs, copies); ``""`` for a row on its own.
    train, val
        Sorted row numbers; rows without a label are in neither, nor are those of a published test set (unless the
        configuration says ``use_test``), nor what is in no fold.
    fold
        The fold that validates; ``None`` for a hold-out.
    """

    rows: PackRows
    groups: tuple[str, ...]
    train: NDArray[np.int64]
    val: NDArray[np.int64]
    fold: Fold | None = None

    @property
    def packs(self) -> tuple[Pack, ...]:
        """The packs."""
        return self.rows.packs

    @property
    def labels(self) -> NDArray[np.float32]:
        """(N,) float32, NaN where missing."""
        return self.rows.labels

    @property
    def recipe(self) -> Recipe | None:
        """The recipe of all packs; ``None`` where they do not tell it."""
        return self.packs[0].recipe

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return int(self.packs[0].shape[0])

    @property
    def kept_out(self) -> int:
        """How many labelled photographs of a published test set take no part."""
        test = np.array([split == "test" for split in self.rows.splits], np.bool_)
        test[self.train] = test[self.val] = False
        return int((test & ~np.isnan(self.labels)).sum())

    def describe_packs(self) -> list[dict[str, Any]]:
        """Return path, name, digest, rows and recipe digest of each pack."""
        return [
            {
                "path": os.fspath(pack.path),
                "name": name,
                "digest": pack.digest,
                "rows": len(pack),
                "recipe_digest": pack.recipe_digest,
            }
            for pack, name in zip(self.packs, self.rows.names, strict=True)
        ]

    def split_table(self) -> pd.DataFrame:
        """Return id_code, pack, label, group, fold (of folds) and part (train or val) of every row that takes part."""
        rows = np.sort(np.concatenate([self.train, self.val]))
        table = self.table(rows)
        if self.fold is not None:
            table["fold"] = self.fold.folds.fold[rows]
        table["part"] = np.where(np.isin(rows, self.val), "val", "train")
        return table

    def table(self, rows: NDArray[np.int64]) -> pd.DataFrame:
        """Return id_code, pack, label and group of rows."""
        return pd.DataFrame(
            {
                "id_code": [self.rows.ids[row] for row in rows],
                "pack": [self.rows.names[pack] for pack in self.rows.pack_of[rows]],
                "label": self.labels[rows],
                "group": [self.groups[row] for row in rows],
            }
        )

    def images(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the images of rows, uint8 (K, H, W, C)."""
        return np.stack([pack[row] for pack, row in map(self.rows.place, rows.tolist())])


def gather(packs: Packs, config: TrainConfig, fold: Fold | None = None) -> Data:
    """Open packs, check that they go together, and split their labelled rows.

    A patient's photographs and all copies of a photograph stay on one side.

    Parameters
    ----------
    packs
        Packs or paths.
    config
        Decides the hold-out.
    fold
        What validates instead of a hold-out.

    Raises
    ------
    OptionError
        There is no pack, or one is given twice.
    RunError
        There is no labelled row, or the images cannot be trained on.
    RecipeMismatch
        The packs were baked with different recipes.
    SplitError
        The folds are of other packs, or there is no such fold.
    """
    rows = PackRows.of(packs)
    for pack in rows.packs:
        _check(pack, rows.packs[0])
    if fold is not None:
        _require_same_packs(rows, fold.folds)
        train, val = fold.folds.train_rows(fold.number), fold.folds.val_rows(fold.number)
        _require_finite(rows.labels[np.concatenate([train, val])])
        return Data(rows, _shared(fold.folds.together), train, val, fold)
    labelled = _usable(rows, use_test=config.use_test)
    companions = together(find_duplicates(rows))
    held = holdout(
        rows.labels[labelled],
        [companions[row] for row in labelled],
        fraction=config.val_fraction,
        seed=config.seed,
    )
    return Data(rows, _shared(companions), labelled[~held], labelled[held])


def _usable(rows: PackRows, *, use_test: bool) -> NDArray[np.int64]:
    """Return the rows that may take part, or refuse where there are none."""
    known = ~np.isnan(rows.labels)
    kept = np.array([split == "test" and not use_test for split in rows.splits], np.bool_)
    labelled = np.flatnonzero(known & ~kept)
    if known.any() and not len(labelled):
        raise RunError(
            "every photograph that has a label is one that its source calls test",
            do="pack the training photographs too, or learn from these with --use-test",
        )
    if not len(labelled):
        raise RunError(
            f"no photograph of {', '.join(rows.names)} has a label",
            do="pack again with --labels CSV, or from a folder that brings its table",
        )
    _require_finite(rows.labels[labelled])
    return labelled


def _require_finite(labels: NDArray[np.float32]) -> None:
    if not np.isfinite(labels).all():
        raise RunError("a label is infinite", do="correct the table and pack again")


def _require_same_packs(rows: PackRows, folds: Folds) -> None:
    mine, theirs = ([pack.digest for pack in of.packs] for of in (rows, folds.rows))
    if mine != theirs:
        raise SplitError(
            "the folds are of other packs",
            expected=", ".join(rows.names),
            got=", ".join(folds.rows.names),
            do="make them from these packs, or load them with Folds.load(TABLE, PACKS)",
        )


def _shared(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names that several rows have, ``""`` for the others."""
    times = Counter(names)
    return tuple(name if times[name] > 1 else "" for name in names)


def _check(pack: Pack, first: Pack) -> None:
    height, width, channels = pack.shape
    if height != width or channels != 3:
        raise RunError(f"the images of {pack.name} cannot be trained on", expected="square, RGB", got=pack.shape)
    if (pack.recipe is None) != (first.recipe is None):
        raise RecipeMismatch(f"{first.name} and {pack.name} do not both tell their recipe", do="pack them again")
    if pack.recipe is not None and first.recipe is not None:
        require_same(
            pack.recipe, first.recipe, f"the pack {pack.name} (the other packs, as {first.name}, have the one needed)"
        )
    elif pack.shape != first.shape:
        raise RecipeMismatch(f"the images of {pack.name} differ in size", expected=first.shape, got=pack.shape)


def augmentation(data: Data, config: TrainConfig, model: DataConfig) -> Augment:
    """Return what is random in training, with the normalisation that training, validation and prediction share."""
    mean, std = _normalization(data, config, model)
    return Augment(
        horizontal_flip=config.flips != "none",
        vertical_flip=config.flips == "both",
        rotation=config.rotation,
        zoom=config.zoom,
        fill=data.packs[0].fill if config.fill == "recipe" else (0, 0, 0),
        mean=mean,
        std=std,
    )


def _normalization(data: Data, config: TrainConfig, model: DataConfig) -> tuple[tuple[float, ...], tuple[float, ...]]:
    source = config.normalize
    if source == "auto":
        source = "pack" if data.recipe is not None and data.recipe.name in COLOUR_CHANGING else "model"
    if source == "imagenet":
        return IMAGENET_MEAN, IMAGENET_STD
    return (model.mean, model.std) if source == "model" else pixel_statistics(data)


def pixel_statistics(data: Data) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel over all pixels of the training rows, in 0..1."""
    means = np.concatenate([pack.mean for pack in data.packs])[data.train].astype(np.float64) / 255
    stds = np.concatenate([pack.std for pack in data.packs])[data.train].astype(np.float64) / 255
    if np.isnan(means).any() or np.isnan(stds).any():
        raise RunError("the packs do not hold the statistics of their pixels", do="--normalize model, or imagenet")
    mean = means.mean(axis=0)
    # The variance of a mixture of equal parts: mean of the second moments less the square of the mean.
    variance = (stds**2 + means**2).mean(axis=0) - mean**2
    return tuple(mean.tolist()), tuple(np.sqrt(np.maximum(variance, 1e-6)).tolist())
