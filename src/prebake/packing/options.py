"""What packing is told."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from prebake.errors import OptionError
from prebake.files import count_bytes
from prebake.machine import usable_cores
from prebake.packing.limits import Limits
from prebake.packing.probe import machine_memory
from prebake.recipe import Recipe, load_recipe, require_allowed
from prebake.store import CODECS

__all__ = ["PackOptions", "PathLike"]

PathLike = str | os.PathLike[str]
MEMORY_SHARE = (
    0.75  # of the machine's memory, that worker processes may take: the rest is for the driver and the others
)


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
    time_limit: float = 60
    memory_limit: float | None = None
    progress: bool = True
    max_pack_size: str | int | None = None

    def __post_init__(self) -> None:
        """Check every field that is not checked where it is used."""
        if self.codec not in ("auto", *CODECS):
            raise OptionError("codec", expected=", ".join(("auto", *CODECS)), got=repr(self.codec))
        if self.on_error not in ("fail", "skip"):
            raise OptionError("on_error", expected="fail or skip", got=repr(self.on_error))
        if self.workers is not None and self.workers < 1:
            raise OptionError("workers", expected="at least 1", got=self.workers)
        for name, limit in (("time_limit", self.time_limit), ("memory_limit", self.memory_limit)):
            if limit is not None and not (limit > 0 and math.isfinite(limit)):
                raise OptionError(name, expected="a number above 0", got=limit)

        if self.max_pack_size is not None and count_bytes(str(self.max_pack_size)) is None:
            raise OptionError("max_pack_size", expected="a size such as 50GB or 800MB", got=repr(self.max_pack_size))

    def load_recipe(self) -> Recipe:
        """Return the recipe itself, of the size asked for."""
        size = 256 if self.size is None else self.size
        recipe = load_recipe(self.recipe, size) if isinstance(self.recipe, str) else self.recipe
        if self.size not in (None, recipe.size):
            raise OptionError("size", expected=f"{recipe.size}, the size that the recipe brings", got=self.size)
        require_allowed(recipe.functions)
        return recipe

    @property
    def limits(self) -> Limits:
        """What worker processes are held to."""
        own = MEMORY_SHARE * machine_memory() if self.memory_limit is None else self.memory_limit * 1e9
        return Limits(self.time_limit, int(own))

    @property
    def file_bytes(self) -> int:
        """How large one of several files may become."""
        return count_bytes(str(self.max_pack_size)) or 0

    @property
    def processes(self) -> int:
        """How many worker processes."""
        return self.workers or usable_cores()
