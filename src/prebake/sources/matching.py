"""From the rows of tables to samples: which photograph a row means, and everything that can be wrong with it.

A row means the photograph whose file name is the row's name, whatever the case and the extension. Where several have
it, these decide, in this order: folders in the row's name; the split (a table called ``train`` never takes photographs
from a folder called ``test``); the very spelling and extension; the folder that is closest to the table. What is left
undecided is a problem, never a guess.
"""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from prebake.records import Sample
from prebake.sources.containers import BROKEN, File, Listing
from prebake.sources.tables import Row, bare_name, name_key, split_in

__all__ = ["Photograph", "Photographs", "Resolved", "folder_split", "resolve"]

_MISSING = frozenset({"", "na", "n/a", "nan", "none", "null"})
_PLAIN = re.compile(r"\w[\w.-]*")  # nearly every id: nothing to clean
_TAKES_FROM = {"train": ("train", ""), "val": ("val", "train", ""), "test": ("test", "")}


@dataclass(frozen=True, slots=True)
class Photograph:
    """A file of a source; ``split`` is what the folders above it tell."""

    source: int
    file: File
    split: str


@functools.lru_cache(maxsize=4096)
def folder_split(folder: str) -> str:
    """Return the split that the innermost telling folder of a path names: ``a. Training Set/x`` -> ``"train"``."""
    return next((split for part in reversed(folder.split("/")) if (split := split_in(part))), "")


class Photographs:
    """The photographs of one or several sources, to be found by name.

    Parameters
    ----------
    listings
        The sources.
    names
        Their names, in the same order.
    """

    def __init__(self, listings: Sequence[Listing], names: Sequence[str]) -> None:
        self.listings, self.names = tuple(listings), tuple(names)
        self._by_name: dict[str, list[Photograph]] = {}
        for source, listing in enumerate(listings):
            for file in listing.photographs:
                folder, _, name = file.member.rpartition("/")
                photograph = Photograph(source, file, folder_split(folder))
                self._by_name.setdefault(name_key(bare_name(name)), []).append(photograph)

    def split_source(self, name: str) -> tuple[int | None, str]:
        """Take the source's name off ``source/id`` with several sources."""
        first, slash, rest = name.partition("/")
        if slash and len(self.names) > 1 and first in self.names:
            return self.names.index(first), rest
        return None, name

    def find(self, name: str, source: int | None, row: Row) -> list[Photograph]:
        """Return the photographs that a row can mean: one when all is well."""
        *folders, last = name.split("/")
        found = self._by_name.get(name_key(bare_name(last)), [])
        if source is not None:
            found = [photograph for photograph in found if photograph.source == source]
        if folders:
            found = self._in_folders(found, folders)
        if allowed := _TAKES_FROM.get(row.table.split):
            by_split = ([photograph for photograph in found if photograph.split == split] for split in allowed)
            found = next(filter(None, by_split), [])
        if len(found) < 2:
            return found
        if split := _split(row):
            found = _prefer(found, lambda p: p.split == split)
        found = _prefer(found, lambda p: bare_name(p.file.member.rpartition("/")[2]) == bare_name(last))
        found = _prefer(found, lambda p: p.file.member.rpartition("/")[2] == last)
        if len(found) > 1 and row.table.folder is not None:
            near = [_shared(row.table.folder, photograph.file.member.split("/")) for photograph in found]
            found = [photograph for photograph, count in zip(found, near, strict=True) if count == max(near)]
        return found

    def _in_folders(self, found: list[Photograph], folders: Sequence[str]) -> list[Photograph]:
        """Keep those in the folders named: below the source, else counting the folders of the source's own path."""
        tail = name_key("/" + "/".join(folders))
        below = [("/" + photograph.file.member).rpartition("/")[0] for photograph in found]
        inside = [p for p, folder in zip(found, below, strict=True) if name_key(folder).endswith(tail)]
        return inside or [
            p
            for p, folder in zip(found, below, strict=True)
            if name_key(self.listings[p.source].root + folder).endswith(tail)
        ]


def _prefer(found: list[Photograph], best: Callable[[Photograph], bool]) -> list[Photograph]:
    return [photograph for photograph in found if best(photograph)] or found


def _shared(folder: Sequence[str], parts: Sequence[str]) -> int:
    """Count the leading components that two paths share."""
    count = 0
    for one, other in zip(folder, parts, strict=False):
        if one != other:
            break
        count += 1
    return count


@dataclass(slots=True)
class Resolved:
    """Samples and problems of some rows; ``used`` holds the photographs that a row names."""

    samples: list[Sample] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    used: set[tuple[int, str]] = field(default_factory=set)


def resolve(rows: Sequence[Row], photographs: Photographs, pairs: Mapping[str, str]) -> Resolved:
    """Find the photograph of every row and check everything, going on after each problem.

    Parameters
    ----------
    rows
        All rows, in the order of the samples to be.
    photographs
        Where to look.
    pairs
        Groups by file name (lower case, no extension), for rows that have none.
    """
    result = Resolved()
    taken: dict[tuple[int, str], Row] = {}
    names: dict[tuple[str, str], Row] = {}
    drafts: list[tuple[Row, str, Photograph, float | None]] = []
    for row in rows:
        name, reason = _clean(row.name)
        label, label_reason = _label(row.label)
        reasons = [reason for reason in (reason, label_reason) if reason]
        if name and (twin := names.setdefault((bare_name(name), _split(row)), row)) is not row:
            reasons.append(f"duplicate id, also in {twin.where}")
        elif name:
            source, below = photographs.split_source(name)
            found = photographs.find(below, source, row)
            reasons += _check_found(found, below, row, taken)
            if not reasons:
                drafts.append((row, bare_name(below), found[0], label))
            result.used.update((photograph.source, photograph.file.member) for photograph in found)
        result.problems += [f"{row.where}: {row.name!r}: {reason}" for reason in reasons]
    result.samples = _samples(drafts, photographs, pairs)
    return result


def _split(row: Row) -> str:
    return split_in(row.split) or row.split or row.table.split


def _clean(text: str) -> tuple[str, str]:
    """Return a row's name with plain ``/``, or ``""`` and what is wrong with it."""
    if _PLAIN.fullmatch(text):
        return text, ""
    name = unicodedata.normalize("NFC", text.strip().replace("\\", "/"))
    parts = name.split("/")
    if not name:
        return "", "empty id"
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "", "an absolute path is no id; give it relative to the source"
    if ".." in parts:
        return "", "the id leads out of the source by '..'"
    if not text.isprintable():
        return "", "the id has characters that cannot be printed"
    name = "/".join(part for part in parts if part not in ("", "."))
    return (name, "") if name else ("", "empty id")


def _label(text: str) -> tuple[float | None, str]:
    """Return a label, ``None`` for an empty one, or what is wrong with it."""
    if text.strip().casefold() in _MISSING:
        return None, ""
    try:
        label = float(text) if "_" not in text else math.nan
    except ValueError:
        label = math.nan
    return (label, "") if math.isfinite(label) else (None, f"the label {text!r} is no number")


def _check_found(found: Sequence[Photograph], name: str, row: Row, taken: dict[tuple[int, str], Row]) -> list[str]:
    if not found:
        folder = name.rpartition("/")[0]
        where = f" in a folder {folder!r}" if folder else ""
        where += f" in a folder for {row.table.split}" if row.table.split else ""
        return [f"no photograph of this name{where}"]
    if len(found) > 1:
        files = ", ".join(photograph.file.member for photograph in found[:3])
        return [f"{len(found)} photographs have this name: {files}{', ...' if len(found) > 3 else ''}"]
    file = found[0].file
    if file.size == BROKEN:
        return [f"{file.member} is a link that leads nowhere"]
    twin = taken.setdefault((found[0].source, file.member), row)
    return [f"{file.member} is also what {twin.where} ({twin.name!r}) means"] if twin is not row else []


def _samples(
    drafts: Sequence[tuple[Row, str, Photograph, float | None]], photographs: Photographs, pairs: Mapping[str, str]
) -> list[Sample]:
    """Build the samples: ids are ``split/id`` where splits repeat ids, ``source/...`` with several sources."""
    seen: set[tuple[int, str]] = set()
    repeating = {
        photograph.source for _, name, photograph, _ in drafts if _seen_before(seen, (photograph.source, name))
    }
    samples = []
    for row, name, photograph, label in drafts:
        source = photographs.names[photograph.source]
        split = _split(row) or photograph.split
        group = row.group or pairs.get(name.rpartition("/")[2].casefold())
        prefix = f"{source}/" if len(photographs.names) > 1 else ""
        middle = f"{split}/" if photograph.source in repeating and split else ""
        samples.append(
            Sample(
                id=f"{prefix}{middle}{name}",
                root=photographs.listings[photograph.source].root,
                member=photograph.file.member,
                size=photograph.file.size,
                stamp=photograph.file.stamp,
                label=label,
                group=f"{prefix}{group}" if group else None,
                source=source,
                split=split,
            )
        )
    return samples


def _seen_before(seen: set[tuple[int, str]], key: tuple[int, str]) -> bool:
    before = key in seen
    seen.add(key)
    return before
