"""Packs from elsewhere, fetched once.

Each lies under ``CACHE/SCHEME/HOST/FOLDERS/PACK.h5``, as its URL is, and beside it::

    .PACK.h5.json        the version that it is of, written when it is whole and verified
    .PACK.h5.part        what is there of it while it is fetched; the next call goes on from there
    .PACK.h5.part.json   the version that this is of
    .PACK.h5.lock        held while it is fetched

A pack that has changed on the server takes the place of the one that is there when it is whole and verified.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

from prebake.errors import NoSpace, PackDamaged, PackError
from prebake.files import check_space, human_bytes, sync_folder, write_json
from prebake.locks import Held, held_lock
from prebake.progress import progress
from prebake.remote.ahead import in_order
from prebake.remote.files import DENIED, Found, Unreachable, look, match, read

__all__ = ["cache_folder", "fetch"]

LOG = logging.getLogger(__name__)
PIECE = 8 << 20
AHEAD = 4  # pieces that are asked for at once
TRIES = 2  # at a pack that changes meanwhile, or that comes damaged
MAGIC = re.compile("[*?[]")


def cache_folder() -> Path:
    """Return the folder for what is fetched: PREBAKE_CACHE, else prebake in XDG_CACHE_HOME, else ~/.cache/prebake."""
    if own := os.environ.get("PREBAKE_CACHE"):
        return Path(own).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().absolute() / "prebake"


def fetch(
    url: str, verify: Callable[[Path], object], whole: Callable[[list[Path]], object] = lambda _: None
) -> list[Path]:
    """Return the files here of the packs that a URL or a pattern means, in the order of their names.

    What is not here in the version that the server has is fetched, and verified before it takes its name.

    Parameters
    ----------
    url
        Of a pack, or a pattern.
    verify
        Raises :class:`PackDamaged` for a file that is not what was packed.
    whole
        Is given all paths before anything is fetched, to refuse them.

    Raises
    ------
    PackError
        There is no such pack; it may not be read; the server does not answer, and no copy is here; what it gives is
        damaged, twice.
    NoSpace
        The disk of the cache will not hold it.
    """
    pattern = MAGIC.search(url) is not None
    here = _local(url)
    kept = sorted(map(Path, glob.glob(str(here)))) if pattern else [here]  # noqa: PTH207 - of an absolute pattern
    kept = [path for path in kept if _note(path) is not None]
    try:
        with _told(url):
            found = match(url) if pattern else [look(url, attempts=2 if kept else 4)]
    except PackError as error:
        if not kept or not isinstance(error.__cause__, Unreachable):
            raise
        LOG.warning("%s: the server does not answer; what was fetched from it before is used: %s", url, kept[0].parent)
        whole(kept)
        return kept
    if not found:
        raise PackError(f"{url}: no file matches", do="see whether the pattern is right, and quoted")
    paths = [_local(one.url) for one in found]
    whole(paths)
    for one, path in zip(found, paths, strict=True):
        _bring(one, path, verify)
    return paths


def _local(url: str) -> Path:
    """Return where in the cache the file of a URL belongs."""
    parts = urlsplit(url, allow_fragments=False)
    path = parts.path + (f"?{parts.query}" if parts.query else "")  # of a pattern
    steps = [step for step in path.split("/") if step]
    if not steps or any(step in (".", "..") or step.startswith(".") for step in steps):
        raise PackError(f"{url} is not the URL of a pack", expected="such as s3://bucket/folder/pack.h5")
    return Path(cache_folder(), parts.scheme.lower(), parts.netloc, *steps)


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(f".{path.name}{ending}")


def _note(path: Path, ending: str = "") -> dict[str, object] | None:
    """Return what is noted of a file that is here with the size that is noted; else ``None``."""
    file = _beside(path, ending) if ending else path
    try:
        note = json.loads(_beside(path, f"{ending}.json").read_text(encoding="utf-8"))
        size = file.stat().st_size
    except (OSError, ValueError):
        return None
    fits = isinstance(note, dict) and (size <= int(note.get("size", 0)) if ending else size == note.get("size"))
    return note if fits else None


def _is_here(found: Found, path: Path, ending: str = "") -> bool:
    return bool(found.version) and _note(path, ending) == asdict(found)


def _bring(found: Found, path: Path, verify: Callable[[Path], object]) -> None:
    """Fetch a pack that is not here; wait where another process fetches it."""
    if _is_here(found, path):
        return
    lock = _beside(path, ".lock")
    try:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(held_lock(lock))
            except Held as holder:
                LOG.warning("%s is being fetched by %s; waiting for it", found.url, holder)
                stack.enter_context(held_lock(lock, wait=True))
            if not _is_here(found, path):
                _fetch(found, path, verify)
    except OSError as error:
        raise PackError(
            f"{found.url} cannot be kept in {path.parent}",
            got=error.strerror or error,
            do="choose another folder for what is fetched: PREBAKE_CACHE=/large/disk/prebake",
        ) from error


def _fetch(found: Found, path: Path, verify: Callable[[Path], object]) -> None:
    part, now = _beside(path, ".part"), found
    for attempt in range(TRIES):
        _download(now, path, part)
        with _told(found.url):
            after = look(found.url)
        why = "it has changed meanwhile" if after != now else ""
        if not why:
            try:
                verify(part)
            except PackError as error:
                why = error.what.replace(str(part), "the copy")
        if not why:
            part.replace(path)
            write_json(_beside(path, ".json"), asdict(now))
            _beside(path, ".part.json").unlink(missing_ok=True)
            sync_folder(path.parent)
            return
        part.unlink()
        now = after
        if attempt + 1 < TRIES:
            LOG.warning("%s: %s; it is fetched once more", found.url, why)
    raise PackDamaged(f"{found.url}: fetched {TRIES} times, and not whole: {why}", do="put it there again, from a copy")


def _download(found: Found, path: Path, part: Path) -> None:
    """Fetch what is missing of a file, in pieces; what is there of another version is dropped."""
    if not _is_here(found, path, ".part"):
        part.unlink(missing_ok=True)
        write_json(_beside(path, ".part.json"), asdict(found))
    with part.open("ab") as file:
        done = file.tell()
        _require_space(found, path.parent, found.size - done)
        starts = range(done, found.size, PIECE)
        reading = functools.partial(_piece, found)
        with (
            progress(f"fetching {path.name}", round(found.size / 1e6), unit="MB", initial=round(done / 1e6)) as bar,
            contextlib.closing(in_order(reading, starts, lambda _: PIECE, most=AHEAD, heaviest=AHEAD * PIECE)) as ahead,
        ):
            for result in _asked(ahead, found.url):
                file.write(result)
                file.flush()
                bar.update(round(file.tell() / 1e6) - bar.n)
        os.fsync(file.fileno())


def _piece(found: Found, start: int) -> bytes:
    return read(found.url, start, min(PIECE, found.size - start))


def _asked(ahead: Iterator[Callable[[], bytes]], url: str) -> Iterator[bytes]:
    for result in ahead:
        with _told(url, "run the same command again: it goes on from where it was"):
            data = result()
        yield data


def _require_space(found: Found, folder: Path, needed: int) -> None:
    try:
        check_space(folder, needed)
    except NoSpace as error:
        raise NoSpace(
            f"the disk of {folder} will not hold {found.url}",
            expected=f"{human_bytes(needed)} free",
            got=error.got,
            do="free some space, or choose another folder for what is fetched: PREBAKE_CACHE=/large/disk/prebake",
        ) from None


@contextlib.contextmanager
def _told(url: str, do: str = "see whether the server can be reached from here") -> Iterator[None]:
    """Make errors of ours of what a server answers."""
    try:
        yield
    except FileNotFoundError as error:
        raise PackError(f"{url}: there is no such pack", do="check the URL; quote it when it is a pattern") from error
    except PermissionError as error:
        raise PackError(f"{url} cannot be read: {error.strerror}", do=DENIED) from error
    except OSError as error:
        raise PackError(f"{url} cannot be read: {error.strerror or error}", do=do) from error
