"""What an explanation holds, on the baked image and on the photograph."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prebake.decode import decode
from prebake.errors import OptionError
from prebake.explanation.geometry import shown_size, warp
from prebake.show import read_photograph

if TYPE_CHECKING:
    import numpy.typing as npt

    from prebake.records import Sample

__all__ = ["LONGEST", "Explanation", "Explanations", "OnPhotograph", "Subject"]

LONGEST = 1200
"""Pixels that the longer side of a photograph is shown with at most."""


@dataclass(frozen=True, eq=False)
class Subject:
    """What is explained: a baked image and where it comes from.

    Parameters
    ----------
    id
        Of the photograph.
    label
        Its grade, NaN where unknown.
    image
        (S, S, 3) uint8, RGB, as the model sees it.
    to_source
        (2, 3) float64: ``to_source @ (x, y, 1)`` is the point of the upright photograph that pixel (x, y) of ``image``
        shows; NaN where that is not known.
    sample
        The photograph; ``None`` where it was not given.
    digest
        Of its encoded bytes when it was baked, ``""`` where unknown: another file is refused.
    """

    id: str
    label: float
    image: npt.NDArray[np.uint8]
    to_source: npt.NDArray[np.float64]
    sample: Sample | None = None
    digest: str = ""


@dataclass(frozen=True, eq=False)
class OnPhotograph:
    """A map on the whole upright photograph, reduced to be shown.

    Parameters
    ----------
    image
        (H, W, 3) uint8, RGB.
    map
        (H, W) float32 in grades; NaN where the baked image does not reach and the model saw nothing.
    width, height
        Of the photograph itself, in pixels.
    """

    image: npt.NDArray[np.uint8]
    map: npt.NDArray[np.float32]
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class Explanation:
    """Where the model finds what raises or lowers the grade of one photograph.

    Parameters
    ----------
    subject
        What is explained.
    raw, diagnosis
        What the model says (the mean over the runs), and the grade that makes.
    map
        (S, S) float32 on the baked image, in grades: positive raises the grade, negative lowers it.
    grid
        Rows and columns of the feature map it was enlarged from (the coarsest of several runs).
    runs
        Number of networks it is the mean of.
    approximate
        Whether the recipe takes dark rows and columns out of the middle too, so that its geometry is only close.
    """

    subject: Subject
    raw: float
    diagnosis: int
    map: npt.NDArray[np.float32]
    grid: tuple[int, int]
    runs: int
    approximate: bool

    @property
    def id(self) -> str:
        """Id of the photograph."""
        return self.subject.id

    @property
    def image(self) -> npt.NDArray[np.uint8]:
        """The baked image, (S, S, 3) uint8, RGB."""
        return self.subject.image

    @property
    def geometry_known(self) -> bool:
        """Whether it is known which point of the photograph a baked pixel shows."""
        return bool(np.isfinite(self.subject.to_source).all())

    def on_photograph(self, longest: int = LONGEST) -> OnPhotograph | None:
        """Read the photograph and lay the map over it.

        Nothing is kept: pictures of many photographs take memory one at a time.

        Parameters
        ----------
        longest
            Pixels of the longer side of the result at most; the photograph is never enlarged.

        Returns
        -------
        ``None`` where the photograph was not given, or it is not known what a baked pixel shows of it.

        Raises
        ------
        SourceError, DecodeError
            The photograph is gone, or no longer the one that was baked.
        """
        sample = self.subject.sample
        if sample is None or not self.geometry_known:
            return None
        decoded = decode(read_photograph(sample, self.subject.digest), min_side=longest, exact=False)
        image = shown_size(decoded.image, decoded.width, decoded.height, longest)
        shown = warp(self.map, self.subject.to_source, (decoded.width, decoded.height), image.shape[:2])
        return OnPhotograph(image, shown, decoded.width, decoded.height)


@dataclass(frozen=True, eq=False)
class Explanations:
    """Explanations in the order of the source; ``[id]`` or ``[number]`` gives one."""

    rows: tuple[Explanation, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Explanation]:
        """Go through the explanations."""
        return iter(self.rows)

    def __getitem__(self, key: int | str) -> Explanation:
        """Return one by position or by id."""
        if isinstance(key, int):
            return self.rows[key]
        found = {row.id: row for row in self.rows}
        if key not in found:
            near = difflib.get_close_matches(key, found, n=1, cutoff=0)
            raise OptionError(f"{key!r} is not explained", do=f"the nearest id is {near[0]!r}" if near else None)
        return found[key]
