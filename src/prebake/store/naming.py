"""What names packs: a path, a pattern of several files, or a URL; and what the files of a set are called."""

from __future__ import annotations

import glob
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prebake.errors import PackDamaged, PackError
from prebake.progress import progress
from prebake.remote import as_url, fetch
from prebake.store.reader import Pack

if TYPE_CHECKING:
    import os

__all__ = ["MOST_FILES", "Member", "expand", "file_names", "is_pack", "member_of", "pattern_of"]

MOST_FILES = 99_999
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_NUMBERED = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<ending>\.[^.]+)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a set.

    Parameters
    ----------
    target
        The path that the set was packed to.
    number, count
        Which file it is, from 0, and of how many.
    """

    target: Path
    number: int
    count: int


def member_of(path: Path) -> Member | None:
    """Return what the name of a file says of the set that it is of; ``None`` where it is of none.

    Examples
    --------
    >>> member_of(Path("eyes-00003-of-00012.h5"))
    Member(target=PosixPath('eyes.h5'), number=3, count=12)
    >>> member_of(Path("eyes-3.h5"))
    """
    found = _NUMBERED.fullmatch(path.name)
    if found is None or not int(found["number"]) < int(found["count"]):
        return None
    return Member(path.with_name(f"{found['stem']}{found['ending'] or ''}"), int(found["number"]), int(found["count"]))


def file_names(target: Path, count: int) -> list[Path]:
    """Return the files of a set, in the order of their rows, which is that of their names.

    Examples
    --------
    >>> [path.name for path in file_names(Path("eyes.h5"), 2)]
    ['eyes-00000-of-00002.h5', 'eyes-00001-of-00002.h5']
    """
    return [target.with_name(f"{target.stem}-{number:05d}-of-{count:05d}{target.suffix}") for number in range(count)]


def pattern_of(target: Path) -> Path:
    """Return the pattern that means all files of a set.

    Examples
    --------
    >>> str(pattern_of(Path("packs/eyes.h5")))
    'packs/eyes-*.h5'
    """
    return target.with_name(f"{glob.escape(target.stem)}-*{glob.escape(target.suffix)}")


def expand(given: str | os.PathLike[str]) -> list[Path]:
    """Return the files that a path or a pattern (``*``, ``?``, ``[...]``, ``**``) means, in the order of their names.

    What exists is meant as it stands, whatever characters are in its name. What a URL means is fetched, where it is not
    here yet, and verified; the files are those in the cache.

    Raises
    ------
    PackError
        No file matches; or files of a set are missing, or are of two; or packs cannot be fetched.
    """
    if (url := as_url(given)) is not None:
        return fetch(url, verify=_require_undamaged, whole=_require_whole)
    path = Path(given)
    if not glob.has_magic(str(path)) or path.exists():
        return [path]
    names = glob.glob(str(path), recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
    found = sorted(file for file in map(Path, names) if file.is_file())
    if not found:
        raise PackError(f"{given}: no file matches", do="prebake pack SOURCE... -o OUT.h5; or see whether it is quoted")
    _require_whole(found)
    return found


def _require_whole(paths: Sequence[Path]) -> None:
    """Refuse sets that are not complete, and what is left of another one beside a set."""
    sets: dict[Path, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for path in paths:
        if (member := member_of(path)) is not None:
            sets[member.target][member.count].append(member.number)
    for target, counts in sets.items():
        if len(counts) > 1:
            raise PackError(
                f"{pattern_of(target)}: there are files of {len(counts)} sets",
                expected="files of one number in all",
                got=" and ".join(f"{len(numbers)} of {count}" for count, numbers in sorted(counts.items())),
                do="run the same prebake pack command again; or remove those that are not of it",
            )
        count, numbers = next(iter(counts.items()))
        if missing := sorted(set(range(count)) - set(numbers)):
            names = [file_names(target, count)[number].name for number in missing[:3]]
            raise PackError(
                f"{pattern_of(target)}: {len(missing)} of {count} files are not there",
                got=", ".join(names) + (", ..." if len(missing) > 3 else "") + " missing",
                do="run the same prebake pack command again; for only some of the files, give them one by one",
            )


def is_pack(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path is meant as a pack: by its content, or, of what is no file here, by its ending."""
    if (url := as_url(path)) is not None:
        return url.lower().endswith((".h5", ".hdf5"))
    path = Path(path)
    if not path.is_file():
        return path.suffix.lower() in (".h5", ".hdf5") and not path.is_dir()
    with path.open("rb") as file:
        return file.read(len(_HDF5_SIGNATURE)) == _HDF5_SIGNATURE


def _require_undamaged(path: Path) -> None:
    """Check every image of a pack, with a progress bar.

    Raises
    ------
    PackError
        It is no pack; or damaged: its structure, its columns, or images, which are named.
    """
    with Pack(path) as pack, progress("verifying", len(pack)) as bar:
        damaged = pack.verify(bar)
    if damaged:
        raise PackDamaged(f"{path}: {len(damaged)} of its images are damaged", damaged)
