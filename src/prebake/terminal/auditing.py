"""What is said of an audit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prebake.terminal.layout import columns, laid_out, photographs, plain, wrapped

if TYPE_CHECKING:
    from rich.table import Table

    from prebake.auditing import Audit, Clue

__all__ = ["audited"]

MOST_COPIES = 20
STAGE_NAMES = {"before": "photograph", "after": "baked image"}


def audited(audit: Audit) -> str:
    """Lay out an audit: what was found in sentences, then copies, what each feature tells, and labels."""
    packs = ", ".join(pack.name for pack in audit.packs)
    lines = [f"{packs}: {photographs(audit.photographs)}"]
    lines += [f"{'!' if finding.serious else '-'} {finding.text}" for finding in audit.findings]
    if audit.copies:
        lines += ["", "Copies (those with different labels first)", laid_out(_copies_table(audit))]
        if len(audit.copies) > MOST_COPIES:
            lines.append(f"and {len(audit.copies) - MOST_COPIES:,} more: --json lists them, -o FOLDER draws them")
    for scope in audit.shortcuts:
        title = f"What alone predicts the grade: {scope.scope} ({scope.photographs:,} with a label)"
        lines += ["", title, laid_out(_clue_table("kappa (chance: 0)", scope.clues))]
    for shift in audit.shifts:
        counts = " and ".join(f"{count:,}" for count in shift.photographs)
        title = f"What alone tells {shift.what} {shift.one} from {shift.other} ({counts})"
        lines += ["", title, laid_out(_clue_table("AUC (chance: 0.5)", shift.clues))]
    lines += ["", "Labels", laid_out(_parts_table(audit))]
    if audit.patients.count:
        most = max(audit.patients.photographs)
        lines.append(f"{audit.patients.count:,} patients with at most {photographs(most)} each")
    for pack in audit.packs:
        lines += [f"not in {pack.name}: {each.id}  ({each.path}): {each.reason}" for each in pack.failures]
    return "\n".join(line for text in lines for line in wrapped(text))


def _copies_table(audit: Audit) -> Table:
    from prebake.auditing.words import kinds_of, label_text  # noqa: PLC0415 - only this verb needs them

    table = columns("known by", numbers=False)
    table.add_column("photographs (label)", overflow="fold")
    for copies in audit.copies[:MOST_COPIES]:
        several = len(audit.packs) > 1
        names = [f"{copy.pack + ':' if several else ''}{copy.id} ({label_text(copy.label)})" for copy in copies.members]
        table.add_row(kinds_of(copies), plain(" = ".join(names)))
    return table


def _clue_table(measure: str, clues: Sequence[Clue]) -> Table:
    from prebake.auditing.words import range_text, shown  # noqa: PLC0415

    table = columns("of the", "feature", numbers=False)
    table.add_column(measure, justify="right", no_wrap=True)
    table.add_column("95 % interval", overflow="fold")
    stage = ""
    for clue in clues:
        first = "" if clue.stage == stage else STAGE_NAMES[clue.stage]
        stage = clue.stage
        table.add_row(first, clue.name, shown(clue.value), clue.reason or range_text(clue.low, clue.high))
    return table


def _parts_table(audit: Audit) -> Table:
    labels = sorted({label for part in audit.parts for label in part.labels})
    table = columns("pack", "source", "split", numbers=False)
    for name in (*(f"{label:g}" for label in labels), "none"):
        table.add_column(name, justify="right")
    for part in audit.parts:
        names = [plain(name or "-") for name in (part.pack, part.source, part.split)]
        table.add_row(*names, *(f"{part.labels.get(label, 0):,}" for label in labels), f"{part.missing:,}")
    return table
