"""Recipes: deterministic steps from an encoded photograph to a fixed-size picture, as frozen data with an identity.

Packing and prediction both call :meth:`Recipe.bake` and nothing else. The identity is the canonical JSON of the recipe;
its digest is stored in packs and runs, and :func:`require_same` refuses what was baked otherwise.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prebake import fundus
from prebake.decode import Decoded, decode
from prebake.errors import RecipeError, RecipeMismatch
from prebake.files import digest
from prebake.recipe.base import Call, Decode, Photo, Step
from prebake.recipe.functions import allow_function, find_function, require_allowed
from prebake.recipe.named import NAMES, named_steps
from prebake.recipe.reading import check_keys, nearest, read_step
from prebake.recipe.steps import joined

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NAMES", "Baked", "Recipe", "allow_function", "load_recipe", "require_allowed", "require_same"]

SIZES = range(8, 4097)


@dataclass(frozen=True, slots=True, eq=False)
class Baked:
    """What a recipe makes of one photograph.

    Parameters
    ----------
    image
        uint8 (S, S, 3), RGB, C-contiguous.
    to_source
        float64 (2, 3): ``to_source @ (x, y, 1)`` is the point of the whole upright photograph that the centre of pixel
        (x, y) of ``image`` shows; pixel centres are whole numbers. NaN for a user's function, which may do anything.
    width, height
        Size of the whole photograph in pixels, upright (after EXIF orientation).
    """

    image: NDArray[np.uint8]
    to_source: NDArray[np.float64]
    width: int
    height: int


@dataclass(frozen=True)
class Recipe:
    """Ordered, deterministic steps from a photograph to a picture of size x size pixels.

    Parameters
    ----------
    name
        What it is called.
    size
        Width and height of the result in pixels.
    steps
        The steps, :class:`prebake.recipe.steps.Decode` first.
    fill
        RGB value of the empty background of its results: what rotation in training fills corners with.

    Raises
    ------
    RecipeError
        A field cannot be used.

    Examples
    --------
    >>> recipe = Recipe.named("kernel", 256)
    >>> recipe == Recipe.from_json(recipe.to_json())
    True
    >>> recipe.apply(np.zeros((300, 400, 3), np.uint8)).image.shape
    (256, 256, 3)
    """

    name: str
    size: int
    steps: tuple[Step, ...]
    fill: tuple[int, int, int] = (0, 0, 0)

    def __post_init__(self) -> None:
        """Check every field."""
        what = f"recipe {self.name}"
        if not isinstance(self.size, int) or self.size not in SIZES:
            raise RecipeError(f"{what}: size", expected=f"{SIZES[0]} to {SIZES[-1]} pixels", got=repr(self.size))
        if not self.name or not isinstance(self.name, str):
            raise RecipeError("a recipe needs a name", got=repr(self.name))
        if not isinstance(self.steps, tuple) or not self.steps or not isinstance(self.steps[0], Decode):
            raise RecipeError(f"{what}: steps", expected="a tuple, the decode step first", got=repr(self.steps))
        plain = isinstance(self.fill, tuple) and len(self.fill) == 3
        if not plain or not all(type(value) is int and 0 <= value <= 255 for value in self.fill):
            raise RecipeError(f"{what}: fill", expected="a tuple of three values 0 to 255 (RGB)", got=repr(self.fill))

    @classmethod
    def named(cls, name: str, size: int = 256) -> Recipe:
        """Return one of the recipes in :data:`NAMES`.

        Raises
        ------
        RecipeError
            There is none of that name, or the size cannot be used.
        """
        if name not in NAMES:
            raise RecipeError(f"there is no recipe {name!r}", expected=", ".join(NAMES), do=nearest(name, NAMES))
        steps, fill = named_steps(name, size)
        return cls(name, size, steps, fill)

    @classmethod
    def from_callable(
        cls,
        function: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
        *,
        name: str,
        version: str,
        size: int,
        fill: tuple[int, int, int] = (0, 0, 0),
    ) -> Recipe:
        """Make a recipe of a function of one's own.

        Parameters
        ----------
        function
            uint8 (H, W, 3) RGB -> uint8 (size, size, 3) RGB; deterministic; importable by its name (no lambda, no inner
            function, not in the script itself), so that worker processes and later sessions find it.
        name, version
            Its identity: a pack made with another version counts as baked with another recipe.
        size
            Width and height of what it returns.
        fill
            RGB value of its empty background.

        Raises
        ------
        RecipeError
            It cannot be imported by its name.
        """
        path = f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', '')}"
        if path.startswith(("__main__:", "__mp_main__:", ":")) or "<" in path or find_function(path) is not function:
            do = "define it with def at the top of a module (a file of its own) and import it from there"
            raise RecipeError(f"recipe {name}: its function cannot be imported by name", got=path, do=do)
        allow_function(path)
        return cls(name, size, (Decode(), Call(path, str(version))), fill)

    def bake(self, data: bytes) -> Baked:
        """Decode a photograph and apply the recipe: the one function that packing and prediction call.

        Where the recipe allows it a JPEG is decoded at a fraction of its size; so the result may differ by a little
        from that of :meth:`apply`, which averages the whole picture down.

        Parameters
        ----------
        data
            The encoded file.

        Raises
        ------
        DecodeError
            The photograph cannot be decoded.
        RecipeError
            A user's function did not return what it must, or was never named here (:func:`allow_function`).
        """
        return self._bake(lambda min_side: decode(data, min_side=min_side, exact=min_side is None))

    def apply(self, image: NDArray[np.uint8]) -> Baked:
        """Apply the recipe to decoded pixels.

        Parameters
        ----------
        image
            uint8 (H, W, 3), RGB, upright, whole size.

        Raises
        ------
        RecipeError
            The image is of another type or shape, or a user's function did not return what it must.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise RecipeError("cannot bake this array", expected="uint8 (H, W, 3)", got=f"{image.dtype} {image.shape}")
        whole = Decoded(np.ascontiguousarray(image), image.shape[1], image.shape[0], 1)
        return self._bake(lambda _: whole)

    def _bake(self, source: Callable[[int | None], Decoded]) -> Baked:
        """Run the steps, on a reduced picture where the recipe allows it.

        How far it may be reduced depends on the disc, which is only known afterwards: too far, and it is done again.
        """
        first = self.steps[0]
        oversampling = first.oversampling if isinstance(first, Decode) else 0.0
        if not oversampling:
            return self._run(source(None), 1)
        min_side = math.ceil(oversampling * self.size)
        decoded = source(min_side)
        while True:
            factor = max(1, min(decoded.image.shape[:2]) // min_side)
            baked = self._run(decoded, factor)
            reduction = decoded.scale * factor
            sampling = float(np.abs(baked.to_source[:, :2]).max(axis=0).min()) / reduction
            if reduction == 1 or not sampling < oversampling:
                return baked
            min_side = max(math.ceil(min_side * oversampling / sampling), min_side + 1)
            decoded = source(min_side) if decoded.scale > 1 else decoded

    def _run(self, decoded: Decoded, factor: int) -> Baked:
        image = decoded.image
        if factor > 1:
            height, width = (side // factor for side in image.shape[:2])
            image = fundus.resize(image[: height * factor, : width * factor], width, height)
        photo = Photo(image, _scaling(decoded.scale * factor))
        for step in joined(self.steps):
            photo = step.run(photo, self.size)
        return Baked(np.ascontiguousarray(photo.image), photo.to_source, decoded.width, decoded.height)

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain data."""
        steps = [{"step": step.NAME, "version": step.VERSION, **step.values()} for step in self.steps]
        return {"name": self.name, "size": self.size, "steps": steps, "fill": list(self.fill)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recipe:
        """Build a recipe from plain data.

        Raises
        ------
        RecipeError
            A key or step is missing or unknown (the nearest one is named), of another version, or has a value of the
            wrong type.
        """
        check_keys("recipe", data, required=("name", "size", "steps", "fill"))
        if not isinstance(data["steps"], list) or not isinstance(data["fill"], list):
            raise RecipeError("recipe: steps and fill must be lists")
        return cls(data["name"], data["size"], tuple(read_step(item) for item in data["steps"]), tuple(data["fill"]))

    def to_json(self) -> str:
        """Return the canonical JSON: sorted keys, no spaces. Its digest is the identity of the recipe."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Build a recipe from JSON.

        Raises
        ------
        RecipeError
            It is no JSON, or :meth:`from_dict` refuses it.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RecipeError("the recipe is not JSON", got=str(error)) from None
        if not isinstance(data, dict):
            raise RecipeError("the recipe is not a JSON object", got=type(data).__name__)
        return cls.from_dict(data)

    @property
    def functions(self) -> tuple[str, ...]:
        """The users' functions that it calls, as ``package.module:function``."""
        return tuple(step.function for step in self.steps if isinstance(step, Call))

    @property
    def digest(self) -> str:
        """32 hexadecimal characters: the identity."""
        return digest(self.to_json().encode())

    def describe(self) -> str:
        """Say in one line what it does.

        Examples
        --------
        >>> Recipe.named("resize", 128).describe()
        'resize, 128 x 128: decode(oversampling=1.5) > resize(interpolation=area)'
        """
        steps = " > ".join(_describe(step) for step in self.steps)
        return f"{self.name}, {self.size} x {self.size}: {steps}"


def load_recipe(spec: str, size: int = 256) -> Recipe:
    """Return the recipe that a user named on the command line.

    Parameters
    ----------
    spec
        A name in :data:`NAMES`; a ``.json`` file as :meth:`Recipe.to_json` writes it, which brings its own size (what
        it calls must be allowed by :func:`allow_function`, for the file may come from a stranger); or
        ``package.module:function``, a function as for :meth:`Recipe.from_callable` that carries its version as
        ``function.version = "1"`` (and, where its background is not black, ``function.fill = (128, 128, 128)``).
    size
        Width and height of the result in pixels.

    Raises
    ------
    RecipeError
        It is none of these.
    """
    if spec.endswith(".json"):
        try:
            return Recipe.from_json(Path(spec).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"the recipe file {spec} cannot be read", got=str(error)) from None
    if ":" not in spec:
        return Recipe.named(spec, size)
    function = find_function(spec)
    version = getattr(function, "version", None)
    if version is None:
        name = spec.rpartition(":")[2]
        do = f'write {name}.version = "1" below it, and raise that whenever its pixels change'
        raise RecipeError(f"the recipe function {spec} does not say its version", do=do)
    fill = getattr(function, "fill", (0, 0, 0))
    return Recipe.from_callable(
        function, name=spec, version=str(version), size=size, fill=tuple(fill) if isinstance(fill, list) else fill
    )


def require_same(found: Recipe, needed: Recipe, what: str) -> None:
    """Refuse what was baked with another recipe than the one needed.

    Raises
    ------
    RecipeMismatch
        They differ; the message shows both.
    """
    if found.digest != needed.digest:
        raise RecipeMismatch(
            f"{what} was baked with another recipe",
            expected=f"{needed.describe()}  [{needed.digest[:8]}]",
            got=f"{found.describe()}  [{found.digest[:8]}]",
            do=f"pack the photographs again: prebake pack SOURCE -o OUT.h5 --recipe {needed.name} --size {needed.size}",
        )


def _scaling(scale: int) -> NDArray[np.float64]:
    """Map pixel centres of a picture reduced by ``scale`` to those of the whole one."""
    offset = scale / 2 - 0.5
    return np.array([[scale, 0, offset], [0, scale, offset]], np.float64)


def _describe(step: Step) -> str:
    version = f" v{step.VERSION}" if step.VERSION > 1 else ""
    return f"{step.NAME}{version}({', '.join(f'{key}={value}' for key, value in step.values().items())})"
