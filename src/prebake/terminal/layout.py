"""What all printed texts share: their width, aligned columns, tables, counted photographs, and JSON for scripts."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

__all__ = ["aligned", "as_json", "columns", "counted", "duration", "laid_out", "photographs", "plain", "wrapped"]

WIDTH = 80


def as_json(value: object) -> str:
    """Write a result as JSON, for scripts."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def photographs(count: int) -> str:
    """Count photographs: ``1 photograph``, ``3,662 photographs``."""
    return counted(count, "photograph")


def counted(count: int, what: str) -> str:
    """Count anything whose plural takes an s."""
    return f"{count:,} {what}" + ("s" if count != 1 else "")


def aligned(lines: list[list[str]]) -> list[str]:
    """Pad the cells of all lines so that they stand in columns, flush right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True)) for line in lines]


def wrapped(text: str) -> list[str]:
    """Break sentences that are too long for a terminal; tables fit, and stay as they are."""
    if len(text) <= WIDTH or "\n" in text:
        return [text]
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def duration(seconds: float | None) -> str:
    """Say how long something takes in a unit that fits: ``3.2 s``, ``14 h``; ``-`` where it is unknown."""
    if seconds is None:
        return "-"
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, hours = seconds / 60, seconds / 3600
    return f"{minutes:.1f} min" if minutes < 100 else f"{hours:.1f} h" if hours < 100 else f"{hours / 24:.1f} days"


def columns(first: str, *others: str, numbers: bool = True) -> Table:
    """Start a table without lines; all columns but the first are flush right if they hold numbers."""
    from rich.table import Table  # noqa: PLC0415 - only few verbs draw tables

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right" if numbers else "left", no_wrap=True)
    return table


def plain(text: str) -> Text:
    """Keep what comes from data from being read as markup."""
    from rich.text import Text  # noqa: PLC0415

    return Text(text)


def laid_out(table: Table) -> str:
    """Draw a table as plain text of at most the width of a terminal."""
    from rich.console import Console  # noqa: PLC0415

    console = Console(width=WIDTH, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().rstrip("\n").split("\n"))
