"""What an audit found, as frozen data: every part turns into plain JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from prebake.records import Failure
    from prebake.store import PackRows

__all__ = [
    "Audit",
    "Clue",
    "Copies",
    "Copy",
    "Finding",
    "PackFacts",
    "Part",
    "Patients",
    "Shift",
    "Shortcuts",
    "label_or_none",
]


@dataclass(frozen=True, slots=True)
class Copy:
    """One of several copies: its row over all packs, and what is known of it (label ``None``: none)."""

    row: int
    id: str
    pack: str
    label: float | None
    split: str
    group: str


@dataclass(frozen=True, slots=True)
class Copies:
    """Photographs that show the same.

    Parameters
    ----------
    kinds
        How they are known: ``"file"``, ``"pixels"``, ``"near"`` (see :class:`prebake.duplicates.Pair`).
    similarity
        The lowest of the pairs that join them; 1 for identical ones.
    members
        Two or more, in the order of rows.
    conflict
        Whether their labels differ.
    """

    kinds: tuple[str, ...]
    similarity: float
    members: tuple[Copy, ...]
    conflict: bool

    @property
    def packs(self) -> tuple[str, ...]:
        """The packs that they are in, each once."""
        return tuple(dict.fromkeys(copy.pack for copy in self.members))

    @property
    def splits(self) -> tuple[str, ...]:
        """The published splits that they are in, each once."""
        return tuple(dict.fromkeys(copy.split for copy in self.members if copy.split))


@dataclass(frozen=True, slots=True)
class Clue:
    """What one feature alone tells.

    Parameters
    ----------
    name, what, stage
        Of :class:`prebake.auditing.features.Feature`.
    photographs
        The number it was tried on.
    value, low, high
        Kappa (shortcuts) or AUC (shifts) on photographs that the model was not fitted on, and its 95 % interval; NaN
        where undefined.
    reason
        Why it is undefined; empty where it is not.
    """

    name: str
    what: tuple[str, ...]
    stage: Literal["before", "after"]
    photographs: int
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    reason: str = ""

    def above(self, chance: float) -> bool:
        """Whether the whole interval is above what chance reaches."""
        return self.low > chance

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; what is undefined is ``None``."""
        return {name: _plain(value) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Shortcuts:
    """How well single features predict the grade, among the labelled photographs of one source or of all."""

    scope: str
    photographs: int
    clues: tuple[Clue, ...]


@dataclass(frozen=True, slots=True)
class Shift:
    """How well single features tell two sides apart.

    Parameters
    ----------
    what
        ``"split"``, ``"pack"`` or ``"source"``.
    one, other
        The names of the sides.
    photographs
        How many there are on each side.
    clues
        AUC of each feature.
    """

    what: str
    one: str
    other: str
    photographs: tuple[int, int]
    clues: tuple[Clue, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """The photographs of one pack, source and split: how many of each label, and without one (``missing``)."""

    pack: str
    source: str
    split: str
    photographs: int
    labels: Mapping[float, int]
    missing: int


@dataclass(frozen=True, slots=True)
class Patients:
    """Who the photographs are of.

    Parameters
    ----------
    count
        Patients.
    unknown
        Photographs of which the packs name no patient.
    photographs
        Photographs of a patient -> the number of patients who have so many.
    across
        Patients who are in more than one published split.
    """

    count: int
    unknown: int
    photographs: Mapping[int, int]
    across: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PackFacts:
    """A pack, and what could not be baked into it."""

    name: str
    path: str
    photographs: int
    shape: tuple[int, int, int]
    recipe: str
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One plain sentence of an audit.

    Parameters
    ----------
    about
        ``"copies"``, ``"shortcuts"``, ``"shift"``, ``"labels"``, ``"patients"`` or ``"failures"``.
    serious
        Whether it asks for something to be done before numbers are believed.
    text
        The sentence.
    """

    about: str
    serious: bool
    text: str


@dataclass(frozen=True)
class Audit:
    """All that was found in some packs.

    Parameters
    ----------
    packs, parts, patients
        What there is.
    copies
        Clusters of copies, those with different labels first.
    shortcuts
        For all photographs together, then for each source where there are several.
    shifts
        Empty where there is only one split, pack and source.
    rows
        The rows of the packs, for pictures.
    """

    packs: tuple[PackFacts, ...]
    parts: tuple[Part, ...]
    patients: Patients
    copies: tuple[Copies, ...]
    shortcuts: tuple[Shortcuts, ...]
    shifts: tuple[Shift, ...]
    rows: PackRows = field(repr=False, compare=False)

    @property
    def photographs(self) -> int:
        """How many there are in all packs."""
        return sum(pack.photographs for pack in self.packs)

    @property
    def conflicts(self) -> tuple[Copies, ...]:
        """The clusters of copies whose labels differ."""
        return tuple(copies for copies in self.copies if copies.conflict)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What was found, in sentences, the serious first."""
        from prebake.auditing.words import sentences  # noqa: PLC0415 - words are made of results

        return tuple(sorted(sentences(self), key=lambda finding: not finding.serious))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON can hold it; what is undefined is ``None``, with its reason beside it."""
        return {
            "findings": [asdict(finding) for finding in self.findings],
            "packs": [asdict(pack) for pack in self.packs],
            "parts": [{**asdict(part), "labels": _counts(part.labels)} for part in self.parts],
            "patients": {**asdict(self.patients), "photographs": _counts(self.patients.photographs)},
            "copies": [asdict(copies) for copies in self.copies],
            "shortcuts": [
                {**asdict(scope), "measure": "kappa", "clues": [clue.to_dict() for clue in scope.clues]}
                for scope in self.shortcuts
            ],
            "shifts": [
                {**asdict(shift), "measure": "auc", "clues": [clue.to_dict() for clue in shift.clues]}
                for shift in self.shifts
            ],
        }


def label_or_none(label: float) -> float | None:
    """Return a label, ``None`` where it is NaN."""
    return None if math.isnan(label) else label


def _plain(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value


def _counts(counts: Mapping[Any, int]) -> dict[str, int]:
    return {f"{name:g}": count for name, count in counts.items()}
