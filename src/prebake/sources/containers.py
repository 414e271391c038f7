"""Folders, .zip and .tar archives, here or elsewhere: what is in them.

Listing looks at names and sizes only. Everything that reading one file needs stands in its stamp, so reading opens the
container, goes straight to the place and closes it again: no index to build in each worker process, no shared file
position, nothing that a fork or a second thread could disturb.
"""

# names are text here, by the hundred thousand, and a link keeps its own name
# ruff: noqa: PTH100, PTH116, PTH119, PTH120, PTH122, PTH123
from __future__ import annotations

import errno
import io
import os
import re
import secrets
import stat
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from prebake.errors import SourceError
from prebake.remote import BUFFER, DENIED, Found, RemoteFile, as_url, find, look

__all__ = [
    "BROKEN",
    "IMAGE_SUFFIXES",
    "TABLE_SUFFIXES",
    "UNTOLD",
    "URL",
    "File",
    "Listing",
    "list_source",
    "natural_key",
    "place",
]

IMAGE_SUFFIXES = frozenset(
    ".bmp .gif .jfif .jp2 .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff .webp".split()  # noqa: SIM905
)
TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".txt"})
SHEET_SUFFIXES = frozenset({".xls", ".xlsx"})
BROKEN = -1
"""Size of a link that leads nowhere."""
URL = "url"
"""What the stamp of a file begins with that is read by a URL of its own."""

UNTOLD = "untold-"
"""What stands in a stamp where a server tells no version: then it is other each time."""
_ARCHIVES = frozenset({".zip", ".tar"})
_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # what following a broken link ends in
_LONGEST_LINK = 4096  # bytes; what is cut off leads nowhere
_MOST_VISITS = 64  # links that lead to one folder; more is a maze of links, not a data set
_COMPRESSED = {
    b"\x1f\x8b": "gunzip --keep",
    b"BZh": "bunzip2 --keep",
    b"\xfd7zXZ": "unxz --keep",
    b"\x28\xb5\x2f\xfd": "unzstd",
}


@dataclass(frozen=True, slots=True)
class File:
    """One file of a container; ``member``, ``size`` and ``stamp`` as in :class:`prebake.records.Sample`."""

    member: str
    size: int
    stamp: str


@dataclass(frozen=True, slots=True)
class Listing:
    """What a source holds, in natural order of the names: photographs, tables (CSV, text) and spreadsheets."""

    root: str
    photographs: tuple[File, ...]
    tables: tuple[File, ...] = ()
    sheets: tuple[File, ...] = ()


def natural_key(text: str) -> tuple[tuple[int | str, ...], str]:
    """Return a key that sorts ``2_left`` before ``10_left``, whatever the case."""
    parts = re.split(r"([0-9]+)", text)
    return tuple(int(part) if i % 2 else part.casefold() for i, part in enumerate(parts)), text


def place(path: str | os.PathLike[str]) -> str:
    """Return what names a source wherever the process is: its URL, or its absolute path."""
    return as_url(path) or os.path.abspath(path)


def list_source(path: str | os.PathLike[str]) -> Listing:
    """List a folder, a .zip, a .tar, or a single photograph; a path, or a URL.

    Hidden files and folders, ``__MACOSX`` and files that are neither photographs nor tables are left out. Links are
    followed; one that leads back to a folder above it is not.

    Raises
    ------
    SourceError
        There is no such path, it cannot be read, or it is of a kind that cannot be used.
    """
    root = place(path)
    try:
        if as_url(path) is not None:
            return _list_elsewhere(root)
        status = os.stat(root)
        if stat.S_ISDIR(status.st_mode):
            return _listing(root, _folder_files(root))
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(f"{path} is neither a folder nor a file")
        if Path(root).suffix.casefold() in IMAGE_SUFFIXES:
            return Listing(os.path.dirname(root), (File(os.path.basename(root), status.st_size, _stamp(status)),))
        with open(root, "rb") as file:
            return _listing(root, _archive_files(root, str(status.st_mtime_ns), file))
    except FileNotFoundError:
        raise SourceError(f"there is no {path}", do="check the path; quote it when it has spaces") from None
    except PermissionError as error:
        do = DENIED if as_url(path) else None
        raise SourceError(f"cannot read {error.filename or path}: {error.strerror or error}", do=do) from error
    except OSError as error:
        raise SourceError(f"cannot read {error.filename or path}: {error.strerror or error}") from error


def _listing(root: str, files: Iterable[File]) -> Listing:
    photographs, tables, sheets = [], [], []
    for file in files:
        suffix = os.path.splitext(file.member)[1].casefold()
        if suffix in IMAGE_SUFFIXES:
            photographs.append(file)
        elif suffix in TABLE_SUFFIXES:
            tables.append(file)
        elif suffix in SHEET_SUFFIXES:
            sheets.append(file)
    kinds = [tuple(sorted(kind, key=lambda file: natural_key(file.member))) for kind in (photographs, tables, sheets)]
    return Listing(root, *kinds)


def _wanted(name: str) -> bool:
    """Tell whether a file name is one that :func:`_listing` sorts into a kind."""
    suffix = os.path.splitext(name)[1].casefold()
    return suffix in IMAGE_SUFFIXES or suffix in TABLE_SUFFIXES or suffix in SHEET_SUFFIXES


def _ignored(component: str) -> bool:
    return component.startswith(".") or component == "__MACOSX"


def _stamp(status: os.stat_result) -> str:
    return f"file:{status.st_mtime_ns}:{status.st_ctime_ns}"


# -- folders ----------------------------------------------------------------------------------------------------------


def _folder_files(root: str) -> list[File]:
    """Walk a folder with one ``scandir`` a folder and one ``stat`` a wanted file."""
    files: list[File] = []
    visits: Counter[tuple[int, int]] = Counter()
    waiting: list[tuple[str, str, frozenset[tuple[int, int]]]] = [(root, "", frozenset())]
    while waiting:
        folder, prefix, above = waiting.pop()
        status = os.stat(folder)
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            continue  # a link to a folder above: everything in it is listed already
        visits[identity] += 1
        if visits[identity] > _MOST_VISITS:
            raise SourceError(
                f"symbolic links lead to {folder} more than {_MOST_VISITS} times",
                do="name the folder that really holds the photographs",
            )
        with os.scandir(folder) as entries:
            for entry in entries:
                if _ignored(entry.name):
                    continue
                if _is_folder(entry):
                    waiting.append((entry.path, f"{prefix}{entry.name}/", above | {identity}))
                elif _wanted(entry.name):
                    files += _folder_file(entry, prefix)
    return files


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno in _NOWHERE:
            return False
        raise


def _folder_file(entry: os.DirEntry[str], prefix: str) -> list[File]:
    """Return the file of an entry: none for a pipe or a device, a broken one for a link that leads nowhere."""
    member = prefix + entry.name
    try:
        status = entry.stat()
    except OSError as error:
        if error.errno in _NOWHERE:
            return [File(member, BROKEN, "file:broken")]
        raise
    return [File(member, status.st_size, _stamp(status))] if stat.S_ISREG(status.st_mode) else []


# -- elsewhere --------------------------------------------------------------------------------------------------------


def _list_elsewhere(url: str) -> Listing:
    """List what a URL means: a file where its name is that of one and there is such a file, else a folder."""
    suffix = os.path.splitext(url)[1].casefold()
    found: list[Found] = []
    if suffix in IMAGE_SUFFIXES or suffix in _ARCHIVES:
        try:
            found = [look(url)]
        except FileNotFoundError:  # a folder may be called so
            found = []
    found = found or find(url)
    if [one.url for one in found] != [url]:
        return _listing(url, _files_elsewhere(url, found))
    if suffix in IMAGE_SUFFIXES:
        folder, _, name = url.rpartition("/")
        return Listing(folder, (_file_elsewhere(name, found[0]),))
    raw = RemoteFile(found[0])
    with io.BufferedReader(raw, BUFFER) as file:
        try:
            return _listing(url, _archive_files(url, _version(found[0]), file))
        except SourceError:
            if raw.trouble is not None:  # zipfile takes it for a damaged archive
                raise raw.trouble from None
            raise


def _files_elsewhere(url: str, found: Iterable[Found]) -> list[File]:
    files = []
    for one in found:
        member = one.url[len(url) + 1 :]
        if not _wanted(member) or any(map(_ignored, member.split("/"))):
            continue
        if _clean_name(url, member) != member:
            raise SourceError(f"{url} holds a name that is no path: {member!r}", do="copy it to another name")
        files.append(_file_elsewhere(member, one))
    return files


def _file_elsewhere(member: str, found: Found) -> File:
    return File(member, found.size, f"{URL}:{_version(found)}")


def _version(found: Found) -> str:
    return found.version or UNTOLD + secrets.token_hex(8)


# -- archives ---------------------------------------------------------------------------------------------------------


def _archive_files(root: str, version: str, file: IO[bytes]) -> list[File]:
    head = file.read(512)
    try:
        if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
            return _zip_files(root, version, file)
        if head[257:262] == b"ustar" or (root.casefold().endswith(".tar") and not head.startswith(tuple(_COMPRESSED))):
            return _tar_files(root, version, file)
    except (zipfile.BadZipFile, tarfile.TarError, NotImplementedError, ValueError) as error:
        raise SourceError(
            f"the archive {root} is damaged or cut short ({error})",
            do="download or copy it again, and compare its size",
        ) from error
    raise _not_a_source(root, head)


def _not_a_source(root: str, head: bytes) -> SourceError:
    """Return the error that tells what a file is instead of a source, and what to do."""
    for magic, command in _COMPRESSED.items():
        if head.startswith(magic):
            return SourceError(
                f"{root} is compressed as a whole, so a photograph cannot be read from the middle of it",
                expected="a folder, a .zip, or a plain .tar",
                do=f"{command} '{root}', then name the .tar that it writes (or unpack that)",
            )
    if re.search(r"\.(zip|tar)\.\d+$|\.z\d\d$", root, re.IGNORECASE):
        return SourceError(
            f"{root} is one piece of a split archive",
            do="join the pieces: cat NAME.zip.* > NAME.zip (of NAME.z01, ...: zip -s 0 NAME.zip --out whole.zip)",
        )
    return SourceError(f"{root} is not a source", expected="a folder, a .zip, a plain .tar, or one photograph")


def _clean_name(root: str, name: str) -> str:
    """Return a member's name with plain ``/``; refuse one that would lead out of the archive."""
    clean = name.replace("\\", "/")
    if clean.startswith("/") or ".." in clean.split("/") or re.match(r"[A-Za-z]:", clean) or "\0" in clean:
        raise SourceError(
            f"the archive {root} has a member that leads out of it: {name!r}",
            do="do not trust this archive; if you do, unpack it with a tool that drops such names and pack the folder",
        )
    return str(PurePosixPath(clean))


def _zip_files(root: str, version: str, file: IO[bytes]) -> list[File]:
    files: dict[str, File] = {}
    links: dict[str, str] = {}
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            name = _clean_name(root, _zip_name(info))
            if info.is_dir() or not _wanted(name) or any(map(_ignored, name.split("/"))):
                continue
            if info.flag_bits & 0x1:
                raise SourceError(
                    f"the archive {root} is encrypted ({name})", do="unpack it with its password and pack the folder"
                )
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise SourceError(
                    f"the archive {root} uses a compression that is not supported ({name})",
                    expected="members that are stored or deflated",
                    got=f"compression method {info.compress_type}",
                    do="unpack it and pack the folder",
                )
            if name in files or name in links:
                raise SourceError(
                    f"the archive {root} holds {name} twice, so the name does not tell which is meant",
                    do="unpack it, remove the wrong one, and pack the folder",
                )
            if stat.S_ISLNK(info.external_attr >> 16):
                with archive.open(info) as link:  # never more than is asked for, whatever the directory tells
                    target = link.read(_LONGEST_LINK).decode("utf-8", "replace")
                links[name] = str(PurePosixPath(name).parent / target)
            else:
                files[name] = File(name, info.file_size, f"zip:{version}:{info.header_offset}:{info.CRC:08x}")
    return _follow(files, links)


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Return a member's name; macOS writes UTF-8 without the flag that says so, and zipfile takes that for cp437."""
    name = info.orig_filename if "\0" in info.orig_filename else info.filename
    if name.isascii() or info.flag_bits & 0x800:
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name


def _tar_files(root: str, version: str, file: IO[bytes]) -> list[File]:
    files: dict[str, File] = {}
    links: dict[str, str] = {}
    file.seek(0)
    with tarfile.open(fileobj=file, mode="r:") as archive:
        for info in archive:
            name = _clean_name(root, info.name)
            if not _wanted(name) or any(map(_ignored, name.split("/"))):
                continue
            # A later member of the same name replaces an earlier one: that is how tar appends.
            files.pop(name, None)
            links.pop(name, None)
            if info.issym():
                links[name] = str(PurePosixPath(name).parent / info.linkname)
            elif info.islnk():
                links[name] = str(PurePosixPath(info.linkname))
            elif info.issparse():
                raise SourceError(f"{name} in {root} is a sparse file", do="unpack the archive and pack the folder")
            elif info.isreg():
                files[name] = File(name, info.size, f"tar:{version}:{info.offset_data}")
        end = archive.offset
    file.seek(end)
    if file.read(512) != bytes(512):  # tarfile takes any garbage for the end
        raise tarfile.ReadError(f"no end mark at byte {end}")
    return _follow(files, links)


def _follow(files: dict[str, File], links: dict[str, str]) -> list[File]:
    """Add links of an archive as the files that they lead to; a link that leads nowhere, round or out is broken."""
    found = list(files.values())
    for name in links:
        target, steps = name, 0
        while target in links and steps < 32:
            target, steps = os.path.normpath(links[target]), steps + 1
        file = files.get(target)
        found.append(File(name, file.size, file.stamp) if file else File(name, BROKEN, "link:broken"))
    return found
