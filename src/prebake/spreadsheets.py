"""CSV that a spreadsheet opens without running any of it, and that is read back as it was.

Spreadsheets take a cell for a formula when it begins with one of a few characters, quoted or not, and formulas can call
programs and send what stands beside them. Ids, groups and names of packs come from files of strangers. The remedy is
that of OWASP ("CSV Injection"): an apostrophe in front, which says "this is text". Text that already begins with
apostrophes before such a character gets one more, so that taking one away always gives back what there was.
"""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["as_written", "csv_text", "harmless"]

STARTS = "=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20"  # the last four: the same characters, as wide as a Chinese one
_FORMULA = re.compile(f"'*[{STARTS}]")
_QUOTED = re.compile(f"'+[{STARTS}]")


def harmless(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula.

    Examples
    --------
    >>> harmless("=1+1"), harmless("0709652336e2"), harmless("'=1+1")
    ("'=1+1", '0709652336e2', "''=1+1")
    """
    return f"'{text}" if _FORMULA.match(text) else text


def as_written(text: str) -> str:
    """Take back what :func:`harmless` did.

    Examples
    --------
    >>> as_written("'=1+1"), as_written("'tis"), as_written("=1+1")
    ('=1+1', "'tis", '=1+1')
    """
    return text[1:] if _QUOTED.match(text) else text


def csv_text(table: pd.DataFrame) -> str:
    """Return a table as CSV: every cell of text harmless, lines end with a line feed, what is missing is empty."""
    import pandas as pd  # noqa: PLC0415 - slow to load

    written, returns = table.copy(deep=False), False
    for name, column in table.items():
        if not pd.api.types.is_numeric_dtype(column):
            cells = [harmless(cell) if isinstance(cell, str) else cell for cell in column]
            returns = returns or any(isinstance(cell, str) and "\r" in cell for cell in cells)
            written[name] = pd.Series(cells, column.index, dtype=object)
    # A lone carriage return ends a row for most readers, and the writer of Python leaves it bare.
    if returns:
        return written.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    return written.to_csv(index=False, lineterminator="\n")
