"""What packing is told."""

from __future__ import annotations

import os
from dataclasses import dataclass

from prebake.errors import OptionError
from prebake.machine import usable_cores
from prebake.recipe import Recipe, load_recipe
from prebake.store import CODECS

__all__ = ["PackOptions", "PathLike"]

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class PackOptions:
    """What :func:`prebake.packing.pack` is told, but for what goes in and where it goes.

    The fields are described there.

    Raises
    ------
    OptionError
        A value cannot be used.

    Examples
    --------
    >>> PackOptions(recipe="ben", size=128).load_recipe().size
    128
    """

    recipe: Recipe | str = "kernel"
    size: int | None = None
    codec: str = "auto"
    labels: PathLike | None = None
    layout: str = "auto"
    workers: int | None = None
    on_error: str = "fail"
    progress: bool = True

    def __post_init__(self) -> None:
        """Check every field that is not checked where it is used."""
        if self.codec not in ("auto", *CODECS):
            raise OptionError("codec", expected=", ".join(("auto", *CODECS)), got=repr(self.codec))
        if self.on_error not in ("fail", "skip"):
            raise OptionError("on_error", expected="fail or skip", got=repr(self.on_error))
        if self.workers is not None and self.workers < 1:
            raise OptionError("workers", expected="at least 1", got=self.workers)

    def load_recipe(self) -> Recipe:
        """Return the recipe itself, of the size asked for."""
        size = 256 if self.size is None else self.size
        recipe = load_recipe(self.recipe, size) if isinstance(self.recipe, str) else self.recipe
        if self.size not in (None, recipe.size):
            raise OptionError("size", expected=f"{recipe.size}, the size that the recipe brings", got=self.size)
        return recipe

    @property
    def processes(self) -> int:
        """How many worker processes."""
        return self.workers or usable_cores()
