"""What is a URL and what a path, and that no password or signature stands in a URL."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from prebake.errors import OptionError

__all__ = ["as_url", "local_path", "redact"]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(::[A-Za-z][A-Za-z0-9+.-]+)*://")
_COLLAPSED = re.compile(r"(s3a?|gs|gcs|https?|abfss?|az|adl|sftp|ssh|ftp|hdfs|memory|file):/(?!/)")
_PASSWORD = re.compile(r"(:/+)[^/\s@]*:(?!\d+/)[^\s@]*@")  # not the port of a host, with an @ behind it
_QUERY = re.compile(r"(?<=[^?])\?[^?]*=.*")
_WEB_QUERY = re.compile(r"(?<=[^?])\?(?!\.\.\.).*")
_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/[^\s'\"()<>]*")


def as_url(given: str | os.PathLike[str]) -> str | None:
    """Return a URL without slashes at its end; ``None`` for a local path, also one with a colon in it.

    Raises
    ------
    OptionError
        It holds a password or a query; or is a local path written as ``file://``, or several URLs in one; or a
        ``pathlib.Path`` was made of it, which swallows a slash.

    Examples
    --------
    >>> as_url("s3://bucket/photographs/"), as_url("scans/12:30/left.png")
    ('s3://bucket/photographs', None)
    """
    text = os.fspath(given)
    found = _URL.match(text)
    if found is None:
        if isinstance(given, os.PathLike) and _COLLAPSED.match(text) and not os.path.lexists(text):
            raise OptionError(f"{redact(text)} was a URL before a Path was made of it", do="give URLs as text")
        return None
    if (clean := redact(text)) != text:
        raise OptionError(
            f"the URL {clean} holds a password, or a query that may be a signature: it would end up in logs",
            do="give the bare URL, and the credentials where fsspec finds them: docs/remote.md, Credentials",
        )
    if found[1]:
        raise OptionError(f"{clean} is several URLs in one", expected="one, such as s3://bucket/photographs.zip")
    if found[0].lower() == "file://":
        raise OptionError(f"{clean} is on this machine", do=f"give it as a path: {clean[len('file://') :]}")
    return text.rstrip("/") if urlsplit(text).netloc else text


def redact(text: str) -> str:
    """Return text with every password and query of a URL in it replaced.

    Examples
    --------
    >>> redact("cannot read https://me:secret@host/a.zip?X-Amz-Signature=0a1b")
    'cannot read https://...@host/a.zip?...'
    """
    return _IN_TEXT.sub(lambda url: _redacted(url[0]), text)


def _redacted(url: str) -> str:
    query = _WEB_QUERY if url.lower().startswith("http") else _QUERY  # elsewhere "?" belongs to names and patterns
    return query.sub("?...", _PASSWORD.sub(r"\1...@", url))


def local_path(output: str | os.PathLike[str]) -> Path:
    """Return where to write as a path; a URL is refused.

    Raises
    ------
    OptionError
        It is one.
    """
    if _URL.match(os.fspath(output)):
        raise OptionError(
            f"cannot write to {redact(os.fspath(output))}",
            expected="a path on this machine",
            do="write to a disk here, then copy it there: aws s3 cp OUT.h5 s3://BUCKET/ (or gsutil, rclone)",
        )
    return Path(output)
