"""The functions that recipes call: found by name, and only where somebody here has named them.

A recipe is data, and may come from a stranger: in a pack, in a run folder, in a ``.json`` file. To import the module
that it names would run code of the stranger's choice. So a function is imported only after it was given to
:meth:`prebake.recipe.Recipe.from_callable`, named to :func:`prebake.recipe.load_recipe`, or to :func:`allow_function`.
"""

from __future__ import annotations

import importlib
import shlex
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from prebake.errors import RecipeError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["allow_function", "find_function", "is_allowed", "require_allowed"]

_allowed: set[str] = set()


def allow_function(name: str) -> None:
    """Let recipes that come from files call a function, in this process and the workers that it packs with.

    Parameters
    ----------
    name
        ``package.module:qualified.name``, as the recipe has it. Nothing is imported before a recipe is applied.

    Examples
    --------
    >>> allow_function("my_recipes:bake")
    """
    _allowed.add(name)


def is_allowed(name: str) -> bool:
    """Tell whether recipes may call a function."""
    return name in _allowed


def require_allowed(names: Iterable[str]) -> None:
    """Refuse functions that nobody has named; what they are is not looked at.

    Raises
    ------
    RecipeError
        There are such; the message says how to allow the first of them.
    """
    for name in names:
        if name not in _allowed:
            raise RecipeError(
                f"the recipe calls the function {name!r}, and comes from a file: importing it would run code "
                "that nobody here has named",
                expected="a function that is named on the command line",
                do=f"if you know what it does: --allow-function {shlex.quote(name)}; "
                f"in Python: prebake.recipe.allow_function({name!r})",
            )


def find_function(name: str) -> Callable[[NDArray[np.uint8]], Any]:
    """Import ``package.module:qualified.name``: call it only with what a user has named.

    Raises
    ------
    RecipeError
        It cannot be imported, or is no function.
    """
    module, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except Exception as error:  # importing runs the user's code, which may raise anything
        do = "make its module importable, for example PYTHONPATH=. prebake ..."
        got = f"{type(error).__name__}: {error}"
        raise RecipeError(f"the recipe function {name} cannot be imported", got=got, do=do) from error
    if not callable(found):
        raise RecipeError(f"{name} is not a function", got=type(found).__name__)
    return found  # type: ignore[no-any-return]
