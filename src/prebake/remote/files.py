"""Listing and reading files elsewhere: bounded in time, tried again where that may help, and told where it does not."""

from __future__ import annotations

import errno
import functools
import io
import os
import random
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from prebake.errors import MissingExtra, OptionError
from prebake.files import digest
from prebake.remote.urls import redact

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["BUFFER", "DENIED", "Found", "RemoteFile", "Unreachable", "find", "look", "match", "prepare", "read"]

T = TypeVar("T")
ATTEMPTS = 4
FIRST_WAIT = 0.5  # seconds; each further one is twice as long
SECONDS = 10.0  # that an answer may take; all attempts together less than a photograph may
SLOWEST = 200_000  # bytes a second: what a larger answer has more time for
LOOKS = 16  # questions at once where a listing tells no sizes
BUFFER = 1 << 18
DENIED = "see whether the credentials are found, and whether they may read there: docs/remote.md, Credentials"
_SIGNS = ("ETag", "etag", "e_tag", "md5Hash", "LastModified", "Last-Modified", "last_modified", "updated", "mtime")
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError"}
_OUR_MISTAKE = (ValueError, TypeError, NotImplementedError, IsADirectoryError, NotADirectoryError)


class Unreachable(OSError):
    """A server gave no whole answer, however often it was asked."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file elsewhere.

    Parameters
    ----------
    url
        Where it is.
    size
        Bytes.
    version
        Other when the file is; of its ETag, or when it was last modified. Empty where the server tells neither.
    """

    url: str
    size: int
    version: str


def prepare(url: str) -> None:
    """Load what speaks with the server of a URL, which may take seconds, so that the first question does not.

    Raises
    ------
    MissingExtra, OptionError
        There is none.
    """
    _place(url)


def look(url: str, attempts: int = ATTEMPTS) -> Found:
    """Ask for one file.

    Raises
    ------
    FileNotFoundError, PermissionError, Unreachable, OSError
        It is not there, may not be read, or the server does not answer.
    MissingExtra
        fsspec, or what it needs for such a URL, is not installed.
    """
    system, path = _place(url)
    told = _ask(url, lambda seconds: _call(system, "info", path, timeout=seconds), attempts=attempts)
    if told.get("type") == "directory" or told.get("size") is None:
        raise FileNotFoundError(errno.ENOENT, "not a file whose size is told", url)
    return _found(url, told)


def find(url: str) -> list[Found]:
    """List all files in a folder and below, or the one file that there is; errors as of :func:`look`."""
    system, path = _place(url)
    web = _is_web(url)
    more = {"on_error": "raise"} if web else {}
    told = _ask(url, lambda seconds: _call(system, "find", path, detail=True, timeout=10 * seconds, **more))
    base = path.rstrip("/")
    names = {name: info for name, info in told.items() if info.get("type") != "directory" and not name.endswith("/")}
    if not names or (web and set(names) == {path}):
        return [look(url)]
    urls = {name: url + (unquote(name[len(base) :]) if web else name[len(base) :]) for name in names}
    unsized = [one for name, one in urls.items() if names[name].get("size") is None]
    with ThreadPoolExecutor(LOOKS) as threads:
        looked = dict(zip(unsized, threads.map(look, unsized), strict=True))
    return [looked.get(one) or _found(one, names[name]) for name, one in urls.items()]


def match(url: str) -> list[Found]:
    """List the files that a pattern means; errors as of :func:`look`, and OptionError on the web, which has none."""
    if _is_web(url):
        raise OptionError(f"{url}: there are no patterns on the web", do="give the URL of each file")
    system, path = _place(url)
    told = _ask(url, lambda seconds: _call(system, "glob", path, detail=True, timeout=10 * seconds))
    front = url[: url.index("://") + 3]
    urls = {name: name if "://" in name else front + name.lstrip("/") for name, info in told.items() if _is_file(info)}
    return sorted((_found(one, told[name]) for name, one in urls.items()), key=lambda found: found.url)


def _is_file(info: dict[str, Any]) -> bool:
    return info.get("type") != "directory"


def read(url: str, offset: int, size: int, *, upto: bool = False) -> bytes:
    """Read bytes of a file with one request.

    Parameters
    ----------
    url, offset, size
        Which.
    upto
        Whether the file may end before.

    Raises
    ------
    FileNotFoundError, PermissionError, Unreachable, OSError, MissingExtra
        As of :func:`look`.
    """
    if size == 0:
        return b""
    system, path = _place(url)

    def once(seconds: float) -> bytes:
        data: bytes = _call(system, "cat_file", path, start=offset, end=offset + size, timeout=seconds)
        if len(data) > size:
            raise io.UnsupportedOperation("the server gives whole files only: download it, and use it here")
        if len(data) < size and not upto:
            raise ConnectionError(f"the answer ends {size - len(data)} bytes early")
        return data

    return _ask(url, once, more=size / SLOWEST)


class RemoteFile(io.RawIOBase):
    """A file elsewhere for those that take an open one, as ``zipfile`` does."""

    def __init__(self, found: Found) -> None:
        self._found, self._at = found, 0
        self.trouble: OSError | None = None
        """What reading has ended with, for those who take it for the end of the file."""

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        self._at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._found.size}[whence])
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill a buffer, or what there is of it."""
        room = memoryview(buffer).cast("B")
        try:
            data = read(self._found.url, self._at, max(0, min(len(room), self._found.size - self._at)))
        except OSError as error:
            self.trouble = error
            raise
        room[: len(data)] = data
        self._at += len(data)
        return len(data)


# -- fsspec -----------------------------------------------------------------------------------------------------------


def _is_web(url: str) -> bool:
    return url.lower().startswith(("http://", "https://"))


def _place(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and what that calls the file."""
    parts = urlsplit(url)
    system = _file_system(os.getpid(), parts.scheme.lower(), parts.netloc)
    return system, system._strip_protocol(url)


@functools.lru_cache(maxsize=16)
def _file_system(_process: int, scheme: str, place: str) -> Any:
    """Make the object that speaks with a server: one for all threads of a process, for none of them survives a fork."""
    try:
        import fsspec  # noqa: PLC0415 - of an extra, and slow to load
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "fsspec is not installed", expected="the extra `remote`", do="pip install 'prebake[remote]'"
        ) from error
    try:
        system = fsspec.core.url_to_fs(f"{scheme}://{place}/", use_listings_cache=False, skip_instance_cache=True)[0]
    except ImportError as error:
        known = scheme in ("s3", "s3a", "http", "https")
        raise MissingExtra(
            f"what reads {scheme}:// is not installed",
            got=error,
            do="pip install 'prebake[remote]'" if known else "install what fsspec names for it (gs: pip install gcsfs)",
        ) from error
    except ValueError as error:
        raise OptionError(f"{scheme}:// is not known to fsspec", got=redact(str(error)), do="see the URL") from error
    if hasattr(system, "retries"):
        system.retries = 1  # of s3fs and gcsfs: what is tried again is tried again here, and as often as said here
    return system


def _call(system: Any, name: str, *given: Any, timeout: float, **more: Any) -> Any:
    """Call a method of a file system, with a limit of time where it has such."""
    limit = {"timeout": timeout} if system.async_impl else {}
    return getattr(system, name)(*given, **more, **limit)


def _found(url: str, info: dict[str, Any]) -> Found:
    sign = next((str(info[name]).strip('"') for name in _SIGNS if info.get(name)), "")
    return Found(url, int(info["size"]), digest(sign.encode()) if sign else "")


def _ask(url: str, call: Callable[[float], T], *, more: float = 0, attempts: int = ATTEMPTS) -> T:
    """Call with a limit of seconds, again and again where another answer may come."""
    trouble: BaseException = TimeoutError()
    for attempt in range(attempts):
        if attempt:
            time.sleep(FIRST_WAIT * 2 ** (attempt - 1) * random.uniform(1, 1.5))
        try:
            return call(SECONDS + more)
        except MissingExtra:
            raise
        except Exception as error:  # noqa: BLE001 - each library of fsspec's has errors of its own
            if (final := _final(error, url)) is not None:
                raise final from None
            trouble = error
    raise Unreachable(errno.EHOSTUNREACH, f"no whole answer, asked {attempts} times ({_said(trouble)})", url)


def _final(error: BaseException, url: str) -> OSError | None:
    """Return what to raise where asking again would be in vain."""
    chain = list(_causes(error))
    status = next(filter(None, map(_status, chain)), 0)
    if status in (404, 410) or (not status and len(chain) == 1 and isinstance(error, FileNotFoundError)):
        return FileNotFoundError(errno.ENOENT, "not found", url)
    if status in (401, 403) or (not status and isinstance(error, PermissionError)):
        return PermissionError(errno.EACCES, "access denied", url)
    if any(type(one).__name__ in _NO_CREDENTIALS for one in chain):
        return PermissionError(errno.EACCES, "no credentials were found", url)
    if (400 <= status < 500 and status not in (408, 429)) or isinstance(error, _OUR_MISTAKE):
        return OSError(errno.EINVAL, _said(error), url)
    return None


def _causes(error: BaseException | None) -> Iterable[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _status(error: BaseException) -> int:
    """Return the status of HTTP that an error tells, 0 where it tells none."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:  # aiohttp; one that tells of no request has a status of the parser's own, 400 for a body that is cut
        status = getattr(error, "status", None) if hasattr(error, "request_info") else None
    return status if isinstance(status, int) else 0


def _said(error: BaseException) -> str:
    """Return what an error of a library says, short, on one line, and without secrets."""
    text = " ".join(redact(str(error)).split())
    return f"{type(error).__name__}: {text[:150]}" if text else type(error).__name__
