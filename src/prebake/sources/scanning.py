"""From what the user names to a list of samples: list, choose the layout, read the tables, resolve, report."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from prebake.errors import OptionError, SourceError, TableError
from prebake.remote import DENIED, as_url, look, read
from prebake.sources import tables
from prebake.sources.choosing import BY_NAME, choose, layout_of, pairs_in, read_tables
from prebake.sources.containers import SHEET_SUFFIXES, URL, File, Listing, list_source, place
from prebake.sources.layouts import FOLDER, Layout
from prebake.sources.layouts.folder import LABELS, find_label
from prebake.sources.matching import Photographs, Resolved, resolve
from prebake.sources.plain import plain_samples
from prebake.sources.tables import parse_table

if TYPE_CHECKING:
    from prebake.records import Sample

__all__ = ["LAYOUTS", "Survey", "scan", "survey"]

LAYOUTS = ("auto", "folder", "aptos", "eyepacs", "idrid", "messidor2", "ddr", "odir")

_log = logging.getLogger("prebake.sources")

Source = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Survey:
    """What :func:`survey` found.

    Parameters
    ----------
    samples
        The samples, as :func:`scan` returns them.
    layouts
        The layout of each source, by the name of the source.
    unlisted
        ``source/member`` of every photograph that lies in a source, but that no row of its tables names: left out.
    notes
        What the user should know although nothing is wrong, one line each.
    """

    samples: tuple[Sample, ...]
    layouts: Mapping[str, str]
    unlisted: tuple[str, ...]
    notes: tuple[str, ...]


def scan(sources: Source | Sequence[Source], *, labels: Source | None = None, layout: str = "auto") -> list[Sample]:
    r"""List the photographs of one or several sources, with labels, groups and splits.

    What the user should know although nothing is wrong (photographs that no table names, samples without label,
    tables that were not read) is logged as a warning of the logger ``prebake.sources``; :func:`survey` returns it.

    Parameters
    ----------
    sources
        Folders, .zip or plain .tar archives, or single photographs; paths, or URLs (docs/remote.md). With one source
        the ids are bare; with several each id (and group) starts with the name of its source, which is the name of the
        folder or archive (``aptos/0a09aa7356c0``; ``NAME-2`` for a second one called the same). Single photographs
        count as one source for each folder that they are in. Where the splits of a source repeat ids, the split comes
        before the id (``train/IDRiD_001``).
    labels
        A CSV to use instead of the tables in the sources. With several sources it names a photograph by its bare
        id, when only one source has it, or as ``source/id``.
    layout
        One of :data:`LAYOUTS`; ``"auto"`` tells them by the columns of the tables. A folder whose tables fit no
        layout, or that has none, packs unlabelled, unless its photographs lie in sub-folders called 0, 1, 2, ...:
        then these are the labels. Tables whose names contain ``submission`` or ``prediction`` are never read: what a
        model said is no label.

    Returns
    -------
    list of Sample
        In the order of the table (``train`` before ``val`` before ``test``), else in natural order of the paths.

    Raises
    ------
    OptionError
        ``layout`` is unknown, or no source is named.
    SourceError
        A source or table cannot be read, holds no photographs, or is ambiguous.
    TableError
        Rows and photographs do not fit together: duplicate and empty ids, ids that lead out of the source, labels
        that are no numbers, photographs that are missing or that have the same name. All at once.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "0709652336e2.png").write_bytes(b"...")
    >>> _ = (folder / "train.csv").write_text("id_code,diagnosis\n0709652336e2,2\n")
    >>> [(sample.id, sample.label) for sample in scan(folder)]
    [('0709652336e2', 2.0)]
    """
    found = survey(sources, labels=labels, layout=layout)
    for note in found.notes:
        _log.warning("%s", note)
    return list(found.samples)


def survey(sources: Source | Sequence[Source], *, labels: Source | None = None, layout: str = "auto") -> Survey:
    """Do what :func:`scan` does and return what else there is to know; parameters and errors as there."""
    if layout not in LAYOUTS:
        raise OptionError(f"unknown layout {layout!r}", expected=" | ".join(LAYOUTS))
    paths = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
    if not paths:
        raise OptionError("no source is named", expected="a folder, a .zip, a plain .tar, or a photograph")
    listings = _list_all(paths)
    names = _unique_names(listings)
    if labels is None:
        prefixes = [f"{name}/" if len(names) > 1 else "" for name in names]
        surveyed = [_by_own_tables(*each, layout) for each in zip(listings, names, prefixes, strict=True)]
    else:
        surveyed = [_by_given_table(labels, Photographs(listings, names), layout)]
    problems = [problem for part in surveyed for problem in part.problems]
    samples = tuple(sample for part in surveyed for sample in part.samples)
    problems += _repeated_ids(samples)
    if problems:
        raise TableError(
            f"the photographs of {', '.join(map(str, paths))} and their labels do not fit together",
            problems,
            do="correct the table, or name a corrected copy with --labels; or name just the folder that is meant",
        )
    unlisted = tuple(member for part in surveyed for member in part.unlisted)
    notes = [note for part in surveyed for note in part.notes]
    notes += [*_unlisted_notes(names, unlisted), *_unlabelled_notes(names, samples)]
    layouts = {name: surveyed[min(i, len(surveyed) - 1)].layout for i, name in enumerate(names)}
    # names of files need not be text; notes do, to be printed and logged anywhere
    printable = (note.encode(errors="backslashreplace").decode() for note in notes)
    return Survey(samples, layouts, unlisted, tuple(printable))


@dataclass(frozen=True, slots=True)
class _Part:
    """A survey of the sources that one set of tables speaks of."""

    layout: str
    samples: Sequence[Sample]
    problems: Sequence[str] = ()
    unlisted: Sequence[str] = ()
    notes: Sequence[str] = ()


def _list_all(paths: Sequence[Source]) -> list[Listing]:
    """List every source, each once; photographs named one by one are one source for each folder."""
    listings: dict[tuple[str, bool], Listing] = {}
    photographs: dict[tuple[str, bool], list[File]] = {}
    seen: dict[str, Source] = {}
    for path in paths:
        if (other := seen.setdefault(as_url(path) or os.path.realpath(path), path)) is not path:
            raise SourceError(f"{path} is named twice", got=f"{other} and {path}", do="name each source once")
        listing = list_source(path)
        if not listing.photographs:
            raise SourceError(
                f"there are no photographs in {path}",
                expected="files such as .jpg, .png, .tif, in any sub-folder",
                do="name the folder or archive that holds them; archives inside a folder are sources of their own",
            )
        key = (listing.root, listing.root != place(path))
        listings[key] = listing
        photographs.setdefault(key, []).extend(listing.photographs)
    return [replace(listing, photographs=tuple(photographs[key])) for key, listing in listings.items()]


def _unique_names(listings: Sequence[Listing]) -> list[str]:
    """Name sources after folder or archive."""
    names: list[str] = []
    for listing in listings:
        root = Path(listing.root)
        folder = listing.photographs[0].stamp.startswith(f"{URL}:") or root.is_dir()
        base = (root.name if folder else root.stem) or "root"
        name, count = base, 1
        while name in names:
            count += 1
            name = f"{base}-{count}"
        names.append(name)
    return names


# -- labels from the source itself, or from a table that the user names -----------------------------------------------


def _by_own_tables(listing: Listing, name: str, prefix: str, layout: str) -> _Part:
    tables = read_tables(listing)
    chosen, mine = choose(listing, tables, layout)
    unread = [table.name for table in tables if table not in mine and not pairs_in([table])]
    unread += [sheet.member for sheet in listing.sheets]
    notes = [f"{name}: not read: {_some(unread)}; to use one (as CSV), name it with --labels"] if unread else []
    if not mine:
        samples, problems = plain_samples(listing, name, prefix)
        return _Part(FOLDER.name, samples, problems, notes=notes)
    notes += [
        f"{name}: {table.name} has no column of labels ({', '.join(LABELS)}): its photographs have none"
        for table in mine
        if chosen is FOLDER and find_label(table) is None and len([*filter(None, table.header)]) > 1
    ]
    photographs = Photographs([listing], [name])
    found = resolve([row for table in mine for row in chosen.rows(table)], photographs, pairs_in(tables, chosen))
    if prefix:
        found.samples = [
            replace(sample, id=prefix + sample.id, group=prefix + sample.group if sample.group else None)
            for sample in found.samples
        ]
    return _part(found, photographs, chosen, notes)


def _read_table(path: Source, url: str | None) -> bytes:
    """Read a table; of what is too large for one no more than shows it."""
    most = tables.MAX_TABLE_BYTES + 1
    if url is not None:
        return read(url, 0, min(look(url).size, most))
    with Path(path).open("rb") as file:
        return file.read(most)


def _by_given_table(path: Source, photographs: Photographs, layout: str) -> _Part:
    if Path(path).suffix.casefold() in SHEET_SUFFIXES:
        raise SourceError(f"{path} is a spreadsheet", do="open it, save it as CSV (UTF-8), and name that with --labels")
    url = as_url(path)
    try:
        table = parse_table(str(path), _read_table(path, url))
    except OSError as error:
        do = DENIED if url and isinstance(error, PermissionError) else None
        raise SourceError(f"cannot read the labels in {path}: {error.strerror or error}", do=do) from error
    chosen = layout_of(table) if layout == "auto" else BY_NAME[layout]
    if chosen is None or not chosen.fits(table):
        raise SourceError(
            f"{path} is not a table of labels" + ("" if chosen is None else f" of the layout {layout}"),
            expected=(chosen or FOLDER).needs,
            got=", ".join(filter(None, table.header)) or "no header",
            do="rename its columns in a copy, or choose another --layout",
        )
    if chosen is FOLDER and find_label(table) is None:
        raise SourceError(f"{path} has no column of labels", expected=chosen.needs, got=", ".join(table.header))
    beside = [one for listing in photographs.listings for one in read_tables(listing)] if chosen.pairs else []
    return _part(resolve(list(chosen.rows(table)), photographs, pairs_in(beside, chosen)), photographs, chosen, ())


def _part(found: Resolved, photographs: Photographs, layout: Layout, notes: Sequence[str]) -> _Part:
    unlisted = [
        f"{name}/{file.member}"
        for source, (name, listing) in enumerate(zip(photographs.names, photographs.listings, strict=True))
        for file in listing.photographs
        if (source, file.member) not in found.used
    ]
    return _Part(layout.name, found.samples, found.problems, unlisted, notes)


# -- what the user should know ----------------------------------------------------------------------------------------


def _some(names: Sequence[str]) -> str:
    """Join a few names: ``a, b, c and 7 more``."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _unlisted_notes(names: Sequence[str], unlisted: Sequence[str]) -> list[str]:
    notes = []
    for name in names:
        mine = [member for member in unlisted if member.startswith(f"{name}/")]
        if mine:
            those = "photograph that no table names is" if len(mine) == 1 else "photographs that no table names are"
            notes.append(f"{name}: {len(mine)} {those} left out: {_some(mine)}")
    return notes


def _unlabelled_notes(names: Sequence[str], samples: Sequence[Sample]) -> list[str]:
    notes = []
    for name in names:
        missing = [sample for sample in samples if sample.source == name and sample.label is None]
        total = sum(sample.source == name for sample in samples)
        if 0 < len(missing) < total:
            ids = _some([sample.id for sample in missing])
            notes.append(
                f"{name}: {len(missing)} of {total} photographs have no label; training leaves them out: {ids}"
            )
    return notes


def _repeated_ids(samples: Sequence[Sample]) -> list[str]:
    first: dict[str, Sample] = {}
    return [
        f"{sample.id}: {first[sample.id].path} and {sample.path} have the same id"
        for sample in samples
        if first.setdefault(sample.id, sample) is not sample
    ]
