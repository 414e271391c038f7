"""Recipes from plain data: what is unknown or of the wrong type is refused, the nearest name given."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from prebake.errors import RecipeError
from prebake.recipe.steps import STEPS

if TYPE_CHECKING:
    from prebake.recipe.base import Step

__all__ = ["check_keys", "nearest", "read_step"]


def nearest(name: object, known: Iterable[str]) -> str | None:
    """Suggest the known name that is most like this one, if one is."""
    matches = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f"did you mean {matches[0]!r}?" if matches else None


def check_keys(what: str, data: Mapping[str, Any], required: Iterable[str]) -> None:
    """Refuse keys that are unknown or missing."""
    required = tuple(required)
    for key in data:
        if key not in required:
            expected = ", ".join(required)
            raise RecipeError(f"{what}: unknown key {key!r}", expected=expected, do=nearest(key, required))
    for key in required:
        if key not in data:
            raise RecipeError(f"{what}: the key {key!r} is missing")


def read_step(data: Any) -> Step:
    """Build a step from plain data."""
    if not isinstance(data, dict) or "step" not in data:
        raise RecipeError("recipe: a step is not an object with a key 'step'")
    name = data["step"]
    if name not in STEPS:
        raise RecipeError(f"recipe: unknown step {name!r}", expected=", ".join(STEPS), do=nearest(name, STEPS))
    kind = STEPS[name]
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    check_keys(f"step {name}", data, required=("step", "version", *(field.name for field in fields)))
    if data["version"] != kind.VERSION:
        do = "use the release of prebake that wrote it"
        raise RecipeError(f"step {name}: another version", expected=kind.VERSION, got=data["version"], do=do)
    for field in fields:
        value, expected = data[field.name], str(field.type)
        if isinstance(value, bool) or not isinstance(value, _TYPES[expected]):
            raise RecipeError(f"step {name}: {field.name}", expected=expected, got=repr(value))
    return kind(**{field.name: data[field.name] for field in fields})


_TYPES: dict[str, Any] = {"int": int, "float": int | float, "str": str}
