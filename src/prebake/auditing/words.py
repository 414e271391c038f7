"""What an audit found, in plain sentences."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from prebake.auditing.features import ALL
from prebake.auditing.guessing import SAME
from prebake.auditing.result import Audit, Clue, Copies, Finding, Shift, Shortcuts

if TYPE_CHECKING:
    from prebake.store import PackRows

__all__ = ["count_of", "kinds_of", "label_text", "range_text", "sentences", "shown"]

CLEAR_KAPPA, CLEAR_AUC = 0.1, 0.6  # what is below is worth a note at most, however many photographs prove it
SHOWN = 5
KINDS = {"file": "identical file", "pixels": "identical pixels", "near": "likeness"}
LEARNS = {
    "image size": "a model may learn the camera, not the eye",
    "file size": "a model may learn how photographs were saved, not the eye",
    "framing": "a model may learn how photographs were framed, not the eye",
    "colour": "light and camera, or the disease itself",
    "contrast": "sharpness and light, or the disease itself",
    "border": "a model may learn the border, not the eye",
    ALL: "together they tell more than the eye should need",
}
OF_THE_EYE = ("colour", "contrast")  # disease changes them too, so that alone they are no proof of a shortcut


def sentences(audit: Audit) -> Iterator[Finding]:
    """Yield what was found, a sentence at a time, in the order of the audit."""
    yield from _on_copies(audit)
    for scope in audit.shortcuts:
        yield from _on_shortcuts(scope, audit.rows, alone=scope is not audit.shortcuts[0])
    yield from _on_shifts(audit.shifts)
    yield from _on_labels(audit)
    yield from _on_patients(audit)
    failures = sum(len(pack.failures) for pack in audit.packs)
    if failures:
        yield Finding("failures", serious=False, text=f"{count_of(failures, 'photograph')} could not be baked.")


def count_of(number: int, name: str) -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> count_of(1, "photograph"), count_of(2000, "cluster")
    ('1 photograph', '2,000 clusters')
    """
    return f"{number:,} {name}" + ("" if number == 1 else "s")


def shown(value: float) -> str:
    """Return a number with two digits; a dash where it is undefined.

    Examples
    --------
    >>> shown(0.314), shown(-0.001), shown(float("nan"))
    ('0.31', '0.00', '-')
    """
    text = f"{value:.2f}"
    return "-" if math.isnan(value) else "0.00" if text == "-0.00" else text


def range_text(low: float, high: float) -> str:
    """Return an interval; a dash where it is undefined."""
    return "-" if math.isnan(low) else f"{shown(low)} ... {shown(high)}"


def label_text(label: float | None) -> str:
    """Return a label as text."""
    return "none" if label is None else f"{label:g}"


def kinds_of(copies: Copies) -> str:
    """Return how copies are known: ``identical file``, ``likeness 0.94``."""
    return ", ".join(f"likeness {copies.similarity:.2f}" if kind == "near" else KINDS[kind] for kind in copies.kinds)


def _listed(texts: Sequence[str]) -> str:
    more = len(texts) - SHOWN
    return ", ".join(texts[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _on_copies(audit: Audit) -> Iterator[Finding]:
    unknown = [
        name for name, pack in zip(audit.rows.set_names, audit.rows.packs, strict=True) if not any(pack.source_digest)
    ]
    if unknown:
        text = f"Copies cannot be found in {_listed(unknown)}: files of the 2019 kernel tell no digests."
        yield Finding("copies", serious=False, text=text)
    if not audit.copies:
        yield Finding("copies", serious=False, text="No photograph is there more than once.")
        return
    if audit.conflicts:
        each = [" = ".join(f"{copy.id} ({label_text(copy.label)})" for copy in one.members) for one in audit.conflicts]
        many = len(each) > 1
        text = (
            f"{count_of(len(each), 'cluster')} of copies {'have' if many else 'has'} different labels: {_listed(each)}."
        )
        yield Finding("copies", serious=True, text=text)
    for what, parted in (("split", "splits"), ("pack", "packs")):
        across = [copies for copies in audit.copies if len(getattr(copies, parted)) > 1]
        if across:
            each = [" = ".join(f"{copy.id} ({getattr(copy, what) or '-'})" for copy in one.members) for one in across]
            text = f"{count_of(len(each), 'cluster')} of copies in more than one {what}: {_listed(each)}."
            yield Finding("copies", serious=what == "split", text=text)
    kinds = Counter(copies.kinds for copies in audit.copies)
    named = ", ".join(f"{number:,} by {' and '.join(KINDS[kind] for kind in names)}" for names, number in kinds.items())
    photographs = sum(len(copies.members) for copies in audit.copies)
    text = (
        f"{count_of(photographs, 'photograph')} are copies of each other, in {count_of(len(audit.copies), 'cluster')} "
        f"({named}); prebake split keeps each in one fold."
    )
    yield Finding("copies", serious=False, text=text)


def _on_shortcuts(scope: Shortcuts, rows: PackRows, *, alone: bool) -> Iterator[Finding]:
    """Say what predicts the grade, and of all photographs also what does not."""
    start = f"In {scope.scope}: " if alone else ""
    reasons = {clue.reason for clue in scope.clues}
    if len(reasons) == 1 and "" not in reasons:
        text = f"{start}shortcuts cannot be looked for: {reasons.pop()}."
        yield _finding("shortcuts", text, serious=False)
        return
    telling = [clue for clue in scope.clues if clue.above(0.0)]
    for clue in _without_redundant(telling):
        text = f"{start}{clue.name} alone predicts the grade with {_number('kappa', clue)}: {LEARNS[clue.name]}."
        serious = clue.value >= CLEAR_KAPPA and clue.name not in OF_THE_EYE
        yield _finding("shortcuts", text.replace(f"{ALL} alone predicts", f"{_all_of(clue)} predict"), serious=serious)
    if alone:
        return
    if scope.clues[0].reason == SAME:
        labelled = ~np.isnan(rows.labels)
        pack, index = rows.place(int(np.argmax(labelled)))
        which = "all photographs" if labelled.all() else "all photographs with a label"
        text = f"{which} are {pack.width[index]} x {pack.height[index]} pixels: their size cannot give the grade away."
        yield _finding("shortcuts", text, serious=False)
    silent = [clue.name for clue in scope.clues if not clue.reason and clue not in telling and clue.name != ALL]
    if silent:
        text = (
            f"{' and '.join(filter(None, [', '.join(silent[:-1]), silent[-1]]))} {_say(silent)} nothing of the grade "
        )
        yield _finding("shortcuts", f"{text}that chance would not: the interval of kappa reaches 0.", serious=False)


def _without_redundant(telling: Sequence[Clue]) -> list[Clue]:
    """Leave out all features together where one of them alone tells."""
    single = {clue.stage for clue in telling if clue.name != ALL}
    return [clue for clue in telling if clue.name != ALL or clue.stage not in single]


def _all_of(clue: Clue) -> str:
    return f"{', '.join(clue.what[:-1])} and {clue.what[-1]} together"


def _say(names: Sequence[str]) -> str:
    return "says" if len(names) == 1 else "say"


def _number(name: str, clue: Clue) -> str:
    return f"{name} {shown(clue.value)} ({range_text(clue.low, clue.high)})"


def _finding(about: str, text: str, *, serious: bool) -> Finding:
    return Finding(about, serious, text[0].upper() + text[1:])


def _on_shifts(shifts: Sequence[Shift]) -> Iterator[Finding]:
    if not shifts:
        text = "One split, one pack and one source: there is nothing to compare for a shift."
        yield _finding("shift", text, serious=False)
    for shift in shifts:
        sides = f"{shift.what} {shift.one} against {shift.other}"
        telling = [clue for clue in shift.clues if clue.above(0.5)]
        known = [clue for clue in shift.clues if not clue.reason]
        if telling:
            best = sorted(_without_redundant(telling), key=lambda clue: -clue.value)
            by = ", ".join(f"{_all_of(clue) if clue.name == ALL else clue.name} ({_auc(clue)})" for clue in best)
            serious = shift.what == "split" and best[0].value >= CLEAR_AUC
            yield _finding("shift", f"{sides} can be told by {by}.", serious=serious)
        elif known:
            best_value = max(known, key=lambda clue: clue.value)
            text = f"{sides} cannot be told by any of these; the best is {best_value.name} ({_auc(best_value)})."
            yield _finding("shift", text, serious=False)
        else:
            yield _finding("shift", f"{sides} cannot be compared: {shift.clues[0].reason}.", serious=False)


def _auc(clue: Clue) -> str:
    return f"AUC {shown(clue.value)}, {range_text(clue.low, clue.high)}"


def _on_labels(audit: Audit) -> Iterator[Finding]:
    missing = sum(part.missing for part in audit.parts)
    counts: Counter[float] = Counter()
    for part in audit.parts:
        counts.update(part.labels)
    if missing:
        text = (
            f"{missing:,} of {count_of(audit.photographs, 'photograph')} {'has' if missing == 1 else 'have'} no label."
        )
        yield _finding("labels", text, serious=False)
    if len(counts) > 1:
        rarest = min(counts, key=lambda label: (counts[label], label))
        share = counts[rarest] / sum(counts.values())
        text = f"the rarest label, {rarest:g}, has {count_of(counts[rarest], 'photograph')} ({share:.1%})."
        yield _finding("labels", text, serious=False)


def _on_patients(audit: Audit) -> Iterator[Finding]:
    patients = audit.patients
    if patients.across:
        text = f"{count_of(len(patients.across), 'patient')} in more than one split: {_listed(patients.across)}."
        yield _finding("patients", text, serious=True)
    if patients.unknown:
        few = f"of {count_of(patients.unknown, 'photograph')}" if patients.count else "of any photograph"
        text = f"the packs do not name the patient {few}: two eyes of one patient may be on both sides of a split."
        yield _finding("patients", text, serious=False)
