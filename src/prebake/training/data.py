"""What a training learns from: the labelled rows of several packs as one, split, and how images become numbers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from prebake.augment import Augment
from prebake.errors import OptionError, RecipeMismatch, RunError
from prebake.recipe import require_same
from prebake.splits import holdout
from prebake.store import Pack, open_pack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from prebake.config import TrainConfig
    from prebake.models import DataConfig
    from prebake.recipe import Recipe

__all__ = ["Data", "augmentation", "gather"]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
COLOUR_CHANGING = ("kernel", "graham", "ben")
"""Recipes that subtract the local average: what they give no longer has the colours that pretraining saw."""


@dataclass(frozen=True)
class Data:
    """The rows of several packs one after another, and which of them train and validate.

    Parameters
    ----------
    packs
        Opened packs of one recipe; row ``i`` of pack ``k`` is row ``i + rows of all packs before k``.
    labels
        (N,) float32, NaN where missing.
    train, val
        Sorted row numbers; rows without a label are in neither, nor are those of a published test set (unless the
        configuration says ``use_test``).
    groups
        (N,) names of what must stay together; ``""`` for none.
    """

    packs: tuple[Pack, ...]
    labels: NDArray[np.float32]
    groups: tuple[str, ...]
    train: NDArray[np.int64]
    val: NDArray[np.int64]

    @property
    def recipe(self) -> Recipe | None:
        """The recipe of all packs; ``None`` where they do not tell it."""
        return self.packs[0].recipe

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return int(self.packs[0].shape[0])

    def describe_packs(self) -> list[dict[str, Any]]:
        """Return path, name, digest, rows and recipe digest of each pack."""
        return [
            {
                "path": os.fspath(pack.path),
                "name": pack.name,
                "digest": pack.digest,
                "rows": len(pack),
                "recipe_digest": pack.recipe_digest,
            }
            for pack in self.packs
        ]

    def split_table(self) -> pd.DataFrame:
        """Return id_code, pack, label, group and part (train or val) of every labelled row, in the order of rows."""
        rows = np.sort(np.concatenate([self.train, self.val]))
        table = self.table(rows)
        table["group"] = [self.groups[row] for row in rows]
        table["part"] = np.where(np.isin(rows, self.val), "val", "train")
        return table

    def table(self, rows: NDArray[np.int64]) -> pd.DataFrame:
        """Return id_code, pack and label of rows."""
        places = [self.place(row) for row in rows]
        return pd.DataFrame(
            {
                "id_code": [pack.ids[row] for pack, row in places],
                "pack": [pack.name for pack, _ in places],
                "label": self.labels[rows],
            }
        )

    def place(self, row: int) -> tuple[Pack, int]:
        """Return the pack a row lies in, and its row there."""
        starts = np.cumsum([0, *(len(pack) for pack in self.packs)])
        index = int(np.searchsorted(starts, row, side="right")) - 1
        return self.packs[index], int(row - starts[index])

    def images(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the images of rows, uint8 (K, H, W, C)."""
        return np.stack([pack[row] for pack, row in map(self.place, rows)])


def gather(packs: Sequence[Pack | str | os.PathLike[str]], config: TrainConfig) -> Data:
    """Open packs, check that they go together, and split their labelled rows.

    Photographs of one group, and byte-identical photographs where no group is known, stay on one side.

    Raises
    ------
    OptionError
        There is no pack.
    RunError
        There is no labelled row, or the images cannot be trained on.
    RecipeMismatch
        The packs were baked with different recipes.
    """
    opened = tuple(pack if isinstance(pack, Pack) else open_pack(pack) for pack in packs)
    if not opened:
        raise OptionError("there is no pack to train on", expected="at least one pack made by prebake pack")
    for pack in opened:
        _check(pack, opened[0])
    labels = np.concatenate([pack.labels for pack in opened]).astype(np.float32)
    known = ~np.isnan(labels)
    kept = np.array([split == "test" and not config.use_test for pack in opened for split in pack.splits], np.bool_)
    labelled = np.flatnonzero(known & ~kept)
    if known.any() and not len(labelled):
        raise RunError(
            "every photograph that has a label is one that its source calls test",
            do="pack the training photographs too, or learn from these with --use-test",
        )
    if not len(labelled):
        raise RunError(
            f"no photograph of {', '.join(pack.name for pack in opened)} has a label",
            do="pack again with --labels CSV, or from a folder that brings its table",
        )
    if not np.isfinite(labels[labelled]).all():
        raise RunError("a label is infinite", do="correct the table and pack again")
    groups = tuple(group for pack in opened for group in pack.groups)
    alike = [group or f"file {digest}" for group, digest in zip(groups, _digests(opened), strict=True)]
    held = holdout(labels[labelled], [alike[row] for row in labelled], fraction=config.val_fraction, seed=config.seed)
    return Data(opened, labels, groups, labelled[~held], labelled[held])


def _digests(packs: Sequence[Pack]) -> list[str]:
    """Return the digest of each source photograph; where it is not known, something that no other row has."""
    found = (digest for pack in packs for digest in pack.source_digest)
    return [digest or f"of row {row}" for row, digest in enumerate(found)]


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
