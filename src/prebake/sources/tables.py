"""CSV and text tables as text: no cell is ever taken for a number before someone asks for one.

``0709652336e2`` is an id and not a float, ``007`` is not 7, ``NA`` may be a name: so cells stay the text that they are.
"""

from __future__ import annotations

import csv
import functools
import io
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from prebake.errors import SourceError
from prebake.sources.containers import IMAGE_SUFFIXES

__all__ = ["Row", "Table", "bare_name", "name_key", "parse_table", "split_in"]

MAX_TABLE_BYTES = 2**28

_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_HEADERLESS = re.compile(
    rf"\S.*({'|'.join(re.escape(suffix) for suffix in sorted(IMAGE_SUFFIXES))})[ \t]+\S+", re.IGNORECASE
)


@functools.lru_cache(maxsize=4096)
def split_in(name: str) -> str:
    """Return ``"train"``, ``"val"`` or ``"test"`` when the words of a file or folder name say so, else ``""``.

    Examples
    --------
    >>> split_in("a. Training Set"), split_in("trainLabels"), split_in("valid"), split_in("straining")
    ('train', 'train', 'val', '')
    """
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).casefold())
    splits = {_SPLITS[word] for word in words if word in _SPLITS}
    return splits.pop() if len(splits) == 1 else ""


def bare_name(name: str) -> str:
    """Return a name without the extension of a photograph; other dots belong to the name.

    Examples
    --------
    >>> bare_name("IM004832.JPG"), bare_name("1.2.840")
    ('IM004832', '1.2.840')
    """
    stem, _, suffix = name.rpartition(".")
    return stem if stem and f".{suffix.casefold()}" in IMAGE_SUFFIXES else name


def name_key(name: str) -> str:
    r"""Return what is compared of a name: composed characters (macOS writes them in pieces), whatever the case.

    Examples
    --------
    >>> name_key("Jose\u0301") == name_key("JOS\u00c9")
    True
    """
    return unicodedata.normalize("NFC", name).casefold()


@dataclass(frozen=True, slots=True)
class Table:
    """A table as text.

    Parameters
    ----------
    name
        How messages call it.
    folder
        The folder in its source that holds it, as components; ``None`` for a table from outside.
    header
        The header as written; empty where the first line is a sample already.
    lines
        Line number and cells of every line that is not blank; cells are stripped of blanks around them.
    split
        The split that the file name tells; ``""`` where it tells none.
    """

    name: str
    folder: tuple[str, ...] | None
    header: tuple[str, ...]
    lines: tuple[tuple[int, tuple[str, ...]], ...]
    split: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The header for comparing: lower case, ``_`` for blanks and dashes."""
        return tuple(re.sub(r"[\s_-]+", "_", cell.casefold()) for cell in self.header)

    def find(self, *names: str) -> int | None:
        """Return the index of the first of ``names`` (as in :attr:`columns`) that is a column, once; else ``None``."""
        columns = self.columns
        for name in names:
            if columns.count(name) > 1:
                raise SourceError(
                    f"{self.name} has {columns.count(name)} columns {name!r}", do="rename or remove one of them"
                )
            if name in columns:
                return columns.index(name)
        return None


@dataclass(frozen=True, slots=True)
class Row:
    """What a table says of one photograph.

    Parameters
    ----------
    table, line
        Where it says so.
    name
        The photograph's id or file name, with or without extension and folders.
    label
        The label as text; ``""`` where there is none.
    group
        The patient, where known.
    split
        The split, where the table (and not its file name) tells.
    """

    table: Table
    line: int
    name: str
    label: str = ""
    group: str | None = None
    split: str = ""

    @property
    def where(self) -> str:
        """The place, for messages."""
        return f"{self.table.name} line {self.line}"


def parse_table(name: str, data: bytes, *, folder: Sequence[str] | None = None) -> Table:
    """Parse a CSV file (separated by comma, semicolon or tab, with a header) or lines of ``name.jpg 2`` (without one).

    Raises
    ------
    SourceError
        It is empty, too large, not UTF-8 text, or not a table.
    """
    if len(data) > MAX_TABLE_BYTES:
        raise SourceError(f"{name} is too large to be a table of labels", expected=f"at most {MAX_TABLE_BYTES} bytes")
    text = _decode(name, data)
    where = None if folder is None else tuple(folder)
    split = split_in(PurePosixPath(name).stem)
    first = next((line for line in text.splitlines() if line.strip()), "")
    if not first:
        raise SourceError(f"{name} is empty", expected="a CSV file with a header")
    if _HEADERLESS.fullmatch(first.strip()):
        lines = ((number, tuple(line.rsplit(None, 1))) for number, line in enumerate(text.splitlines(), 1))
        return Table(name, where, (), tuple((number, cells) for number, cells in lines if cells), split)
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[tuple[int, tuple[str, ...]]] = []
    try:
        for cells in reader:
            row = tuple(cell.strip() for cell in cells)
            if any(row):
                rows.append((reader.line_num, row))
    except csv.Error as error:
        raise SourceError(f"{name} line {reader.line_num} is not a line of a CSV file: {error}") from error
    header = rows[0][1]
    _check_widths(name, len(header), rows)
    padded = tuple((number, (row + ("",) * len(header))[: len(header)]) for number, row in rows[1:])
    return Table(name, where, header, padded, split)


def _decode(name: str, data: bytes) -> str:
    try:
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            return data.decode("utf-16")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{name} is not UTF-8 text (byte {error.start})",
            do=f"save it as CSV UTF-8; for a file from Windows: iconv -f cp1252 -t utf-8 '{name}' > labels.csv",
        ) from None


def _check_widths(name: str, width: int, rows: Sequence[tuple[int, tuple[str, ...]]]) -> None:
    for number, row in rows:
        if any(row[width:]):
            raise SourceError(
                f"{name} line {number} has more cells than the header",
                expected=width,
                got=len(row),
                do="put quotes around cells that contain the separator",
            )
