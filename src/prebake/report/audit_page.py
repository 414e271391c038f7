"""The page of an audit: every value that ``audit.html`` shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prebake.auditing.words import count_of, kinds_of, label_text
from prebake.files import write_text
from prebake.report.page import render, require_jinja2
from prebake.report.pictures import bar, data_uri
from prebake.report.words import number
from prebake.show import fit
from prebake.version import __version__

if TYPE_CHECKING:
    import os

    from prebake.auditing import Audit, Clue, Copies, Shift, Shortcuts
    from prebake.store import PackRows

__all__ = ["audit_content", "write_audit"]

PICTURES = 60  # clusters of copies that are drawn; the others are listed
CELL = 320
JPEG_QUALITY = 85
STAGES = {"before": "Of the photographs, before the recipe", "after": "Of the baked images, after the recipe"}


def write_audit(audit: Audit, output: str | os.PathLike[str]) -> Path:
    """Write an audit as one self-contained HTML page, with the copies as pictures.

    The page loads nothing, runs no script, and is written whole or not at all.

    Parameters
    ----------
    audit
        As :func:`prebake.auditing.audit` gives it.
    output
        The page to write; its folder is made if it is not there.

    Returns
    -------
    Path of the page.

    Raises
    ------
    MissingExtra
        jinja2 is not installed.

    Examples
    --------
    >>> write_audit(audit(["pack.h5"]), "audit.html")      # doctest: +SKIP
    PosixPath('audit.html')
    """
    jinja2, output = require_jinja2(), Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_text(output, render(jinja2, "audit.html", audit_content(audit)))
    return output


def audit_content(audit: Audit) -> dict[str, Any]:
    """Return everything that ``audit.html`` shows, as text and numbers."""
    serious = [finding.text for finding in audit.findings if finding.serious]
    return {
        "version": __version__,
        "name": ", ".join(pack.name for pack in audit.packs),
        "headline": f"{count_of(len(serious), 'thing')} to look at first" if serious else "Nothing serious was found",
        "lead": f"{count_of(audit.photographs, 'photograph')} in {count_of(len(audit.packs), 'pack')}, looked through "
        "for what makes numbers on them wrong, before anything is trained.",
        "serious": serious,
        "notes": [finding.text for finding in audit.findings if not finding.serious],
        "copies": [_cluster(copies, audit.rows) for copies in audit.copies[:PICTURES]],
        "further_copies": [_listed(copies) for copies in audit.copies[PICTURES:]],
        "shortcuts": [_shortcuts(scope) for scope in audit.shortcuts],
        "shifts": [_shift(shift) for shift in audit.shifts],
        "labels": _labels(audit),
        "patients": _patients(audit),
        "packs": [
            {
                "name": pack.name,
                "photographs": f"{pack.photographs:,}",
                "shape": f"{pack.shape[1]} \N{MULTIPLICATION SIGN} {pack.shape[0]}",
                "recipe": pack.recipe or "unknown",
            }
            for pack in audit.packs
        ],
        "failures": [(pack.name, each.id, each.path, each.reason) for pack in audit.packs for each in pack.failures],
    }


def _cluster(copies: Copies, rows: PackRows) -> dict[str, Any]:
    members = []
    for copy in copies.members:
        pack, index = rows.place(copy.row)
        words = f"{copy.id}: label {label_text(copy.label)}"
        members.append(
            {
                "id": copy.id,
                "label": label_text(copy.label),
                "where": ", ".join(filter(None, (copy.pack, copy.split, copy.group and f"patient {copy.group}"))),
                "image": data_uri(fit(pack[index], CELL), JPEG_QUALITY),
                "alt": words,
            }
        )
    return {"kinds": kinds_of(copies), "conflict": copies.conflict, "members": members}


def _listed(copies: Copies) -> dict[str, str]:
    names = " = ".join(f"{copy.id} (label {label_text(copy.label)}, {copy.pack})" for copy in copies.members)
    return {"kinds": kinds_of(copies), "names": names}


def _shortcuts(scope: Shortcuts) -> dict[str, Any]:
    return {
        "title": f"{scope.scope[0].upper()}{scope.scope[1:]}" if scope.scope else "",
        "count": f"{scope.photographs:,}",
        "stages": _stages(scope.clues, ends=(-0.2, 1.0), chance=0.0, name="kappa"),
    }


def _shift(shift: Shift) -> dict[str, Any]:
    return {
        "title": f"{shift.one} against {shift.other}",
        "count": f"{shift.what}; {shift.photographs[0]:,} and {shift.photographs[1]:,}",
        "stages": _stages(shift.clues, ends=(0.3, 1.0), chance=0.5, name="AUC"),
    }


def _stages(clues: Sequence[Clue], *, ends: tuple[float, float], chance: float, name: str) -> list[dict[str, Any]]:
    stages = []
    for stage, title in STAGES.items():
        lines = [
            {
                "name": clue.name,
                "what": ", ".join(clue.what),
                "value": number(clue.value),
                "interval": clue.reason or f"{number(clue.low)} to {number(clue.high)}",
                "above": clue.above(chance),
                "bar": None if clue.reason else bar(clue.value, clue.low, clue.high, ends=ends, chance=chance),
                "alt": f"{name} {number(clue.value)}",
            }
            for clue in clues
            if clue.stage == stage
        ]
        stages.append({"title": title, "lines": lines})
    return stages


def _labels(audit: Audit) -> dict[str, Any]:
    """Return the table of labels by pack, source and split."""
    values = sorted({label for part in audit.parts for label in part.labels})
    rows = []
    for part in audit.parts:
        counts = [f"{part.labels.get(value, 0):,}" for value in values]
        rows.append(
            {
                "pack": part.pack,
                "source": part.source or "\N{EN DASH}",
                "split": part.split or "\N{EN DASH}",
                "counts": [*counts, f"{part.missing:,}", f"{part.photographs:,}"],
            }
        )
    return {"names": [*(f"{value:g}" for value in values), "none", "all"], "rows": rows}


def _patients(audit: Audit) -> str:
    patients = audit.patients
    if not patients.count:
        return "The packs name no patients."
    spread = ", ".join(
        f"{count_of(people, 'patient')} with {count_of(times, 'photograph')}"
        for times, people in list(patients.photographs.items())[:6]
    )
    more = " and more with others" if len(patients.photographs) > 6 else ""
    return f"{count_of(patients.count, 'patient')}: {spread}{more}."
