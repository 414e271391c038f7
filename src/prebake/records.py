"""Frozen hand-over objects: ids, paths and numbers, never pixels."""

from __future__ import annotations

import os
from dataclasses import dataclass

from prebake.errors import PrebakeError

__all__ = ["Failure", "Sample"]

LONGEST_REASON = 300


@dataclass(frozen=True, slots=True)
class Sample:
    """One source photograph.

    Parameters
    ----------
    id
        Unique among the samples of one pack, always text. Where several sources go into one pack it starts with the
        name of its source: ``aptos/0a09aa7356c0``.
    root
        Absolute path or URL of the folder or archive (.zip, .tar) that holds the photograph.
    member
        Path of the photograph below the folder, or its member name in the archive; with ``/``, never with ``..``.
    size
        Encoded bytes.
    stamp
        Changes when the file does: for a folder its modification and change time, for an archive the checksum or
        position of the member together with the modification time of the archive; elsewhere, what its server says
        (ETag, or time) instead of times. Never stored in a pack.
    label
        The grade; ``None`` where there is none (a test set).
    group
        What must stay on one side of a split (the patient); ``None`` where unknown.
    source
        Name of the source dataset.
    split
        ``"train"``, ``"test"``, ... as published; empty where the source does not say.
    """

    id: str
    root: str
    member: str
    size: int
    stamp: str
    label: float | None = None
    group: str | None = None
    source: str = ""
    split: str = ""

    @property
    def path(self) -> str:
        """``source/member``: names the photograph without telling where on this machine it lies."""
        return f"{self.source}/{self.member}" if self.source else self.member

    @property
    def place(self) -> str:
        """Where it lies: a path or URL; in an archive, that of the archive and the member."""
        return os.path.join(self.root, self.member)  # noqa: PTH118 - a Path swallows a slash of a URL


@dataclass(frozen=True, slots=True)
class Failure:
    """One photograph that could not be baked: its id, its path (as :attr:`Sample.path`) and the reason, one line."""

    id: str
    path: str
    reason: str

    @classmethod
    def of(cls, sample: Sample, error: BaseException) -> Failure:
        """Say in one line what went wrong with a photograph, and not where on this machine it lies.

        Examples
        --------
        >>> Failure.of(Sample("a", "/data", "a.png", 0, ""), FileNotFoundError(2, "No such file", "/data/a.png"))
        Failure(id='a', path='a.png', reason='cannot be read: No such file')
        """
        if isinstance(error, PrebakeError):
            text = error.what if error.got is None else f"{error.what} ({error.got})"
        elif isinstance(error, OSError):
            text = f"cannot be read: {error.strerror or type(error).__name__}"
        else:
            text = f"the recipe raised {type(error).__name__}: {error}"
        text = text.removeprefix(f"{sample.id} ({sample.place}) ").replace(sample.root, "...")
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return cls(sample.id, sample.path, text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 3]}...")
