"""The same cross-validation with one recipe after another: which preprocessing is better, by more than noise.

======================  ======================================================================================
``RECIPE.h5``           the pack of each recipe
``folds.csv``           the folds, made from the first pack and used by all
``RECIPE/``             the cross-validation of each recipe, see :mod:`prebake.runs.crossval`
``ablation.csv``        a line for each recipe: kappa with interval, change to the first with paired interval
``ablation.json``       the same with every number that was compared
======================  ======================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prebake.comparison import Compared, compare, open_side
from prebake.config import TrainConfig
from prebake.crossval import cross_validate
from prebake.errors import OptionError, RunError
from prebake.files import write_json, write_text
from prebake.metrics import for_json
from prebake.packing import pack
from prebake.recipe import load_recipe
from prebake.remote import local_path
from prebake.runs import FOLDS, CrossValidation, Summary
from prebake.splits import Folds, make_folds
from prebake.spreadsheets import csv_text

if TYPE_CHECKING:
    import os

    import pandas as pd

    from prebake.runs import Run

__all__ = ["Ablation", "Variant", "ablate"]

CSV, JSON = "ablation.csv", "ablation.json"


@dataclass(frozen=True)
class Variant:
    """One recipe: what its cross-validation reached, and how that compares to the first (``None`` for the first)."""

    recipe: str
    reached: Summary
    compared: Compared | None


@dataclass(frozen=True)
class Ablation:
    """All recipes of an ablation, the first of them what the others are compared to."""

    path: Path
    folds: int
    variants: tuple[Variant, ...]

    @property
    def sentences(self) -> tuple[str, ...]:
        """What each recipe but the first says, in words."""
        return tuple(variant.compared.sentence for variant in self.variants if variant.compared)

    def table(self) -> pd.DataFrame:
        """Return a line for each recipe: recipe, photographs, kappa, low, high, mae, change, change_low, change_high.

        ``change`` is the kappa of the recipe less that of the first, of which it is missing.
        """
        import pandas as pd  # noqa: PLC0415 - slow to load

        lines = []
        for variant in self.variants:
            found, kappa = variant.reached, variant.compared.changes["kappa"] if variant.compared else None
            change = (kappa.change, kappa.low, kappa.high) if kappa else (None, None, None)
            lines.append((variant.recipe, found.photographs, found.kappa, found.low, found.high, found.mae, *change))
        columns = ["recipe", "photographs", "kappa", "low", "high", "mae", "change", "change_low", "change_high"]
        return pd.DataFrame(lines, columns=columns)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON can hold it; what is undefined is ``None``."""
        recipes = [
            {
                "recipe": variant.recipe,
                "reached": for_json(variant.reached),
                "compared": variant.compared.to_dict() if variant.compared else None,
            }
            for variant in self.variants
        ]
        return {"folds": self.folds, "recipes": recipes}


def ablate(  # noqa: PLR0913 - one keyword for each option of the command line
    sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    recipes: Sequence[str],
    config: TrainConfig | None = None,
    *,
    folds: int = 5,
    size: int | None = None,
    labels: str | os.PathLike[str] | None = None,
    layout: str = "auto",
    done: Callable[[Run], None] | None = None,
) -> Ablation:
    """Pack photographs with each recipe, cross-validate each with the same folds and seed, and compare.

    Interrupted, the same call goes on where it was. Further recipes may be added at the end of the list later.

    Parameters
    ----------
    sources
        Photographs, as of :func:`prebake.pack`.
    output
        The folder; see :mod:`prebake.ablation` for what it will hold.
    recipes
        Two or more, as :func:`prebake.recipe.load_recipe` takes them; the first is what the others are compared to.
    config
        What each fold does; by default the preset ``default``.
    folds
        How many; they are made with the seed of the configuration.
    size
        Side of the baked images in pixels; 256 without it, or what a recipe brings.
    labels, layout
        Where the labels are and how photographs lie, as of :func:`prebake.pack`.
    done
        Called with every run that is complete.

    Raises
    ------
    OptionError
        There are fewer than two recipes, or two have one name.
    RunError
        The folder holds another ablation.
    PrebakeError
        As of :func:`prebake.pack`, :func:`prebake.make_folds` and :func:`prebake.cross_validate`.

    Examples
    --------
    >>> ablate("photographs/", "ablation", ["kernel", "crop"]).sentences          # doctest: +SKIP
    ('crop is better by 0.031 kappa (0.004 ... 0.058) on the same 413 photographs',)
    """
    folder, names = local_path(output), _names(recipes)
    for recipe in recipes:
        load_recipe(recipe)
    folder.mkdir(parents=True, exist_ok=True)
    packs = [
        pack(sources, folder / f"{name}.h5", recipe=recipe, size=size, labels=labels, layout=layout)
        for name, recipe in zip(names, recipes, strict=True)
    ]
    settings = config or TrainConfig()
    _keep_folds(make_folds(packs[0], folds=folds, seed=settings.seed, use_test=settings.use_test), folder / FOLDS)
    trained = [
        cross_validate(one, folder / name, settings, folds=folder / FOLDS, done=done)
        for name, one in zip(names, packs, strict=True)
    ]
    found = Ablation(folder, folds, _compared(names, trained))
    write_text(folder / CSV, csv_text(found.table()))
    write_json(folder / JSON, found.to_dict())
    return found


def _names(recipes: Sequence[str]) -> list[str]:
    """Return what recipes are called in the folder."""
    names = [re.sub(r"[^\w.-]+", "_", Path(name).stem if name.endswith(".json") else name) for name in recipes]
    if len(names) < 2 or len(set(names)) < len(names):
        raise OptionError(
            "these recipes cannot be compared", expected="two or more with different names", got=", ".join(recipes)
        )
    return names


def _keep_folds(made: Folds, path: Path) -> None:
    """Write the folds, or make sure that those of before are the same: all recipes must share them."""
    table = csv_text(made.table())
    if path.exists() and path.read_bytes() != table.encode():
        raise RunError(
            f"{path} is not what the first recipe, --folds and --seed give",
            do="choose another folder with -o, or give the photographs, recipes and options of before",
        )
    made.save(path)


def _compared(names: Sequence[str], trained: Sequence[CrossValidation]) -> tuple[Variant, ...]:
    sides = [open_side(one, name) for name, one in zip(names, trained, strict=True)]
    return tuple(
        Variant(side.name, one.summary(), None if side is sides[0] else compare(sides[0], side))
        for side, one in zip(sides, trained, strict=True)
    )
