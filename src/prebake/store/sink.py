"""The file below HDF5 while writing: a full disk must not reach libhdf5, which does not survive a failed close."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NoReturn

from prebake.errors import NoSpace, PackError
from prebake.files import is_full

__all__ = ["Sink"]


class Sink:
    """A file object for :class:`h5py.File` that keeps the first error to itself until it is asked for.

    Once a write has failed, all that follow are dropped, so HDF5 comes to its end; :meth:`check` then raises.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._error: OSError | None = None
        try:
            self._file = path.open("w+b", buffering=0)
        except OSError as error:
            self._error = error
            self.check()

    def check(self, cause: BaseException | None = None) -> None:
        """Raise what has gone wrong so far, or else ``cause``.

        Raises
        ------
        NoSpace
            The disk is full, or a quota or a limit of the file size is reached.
        PackError
            Anything else.
        """
        if self._error is not None:
            self._raise(self._error)
        if cause is not None:
            raise PackError(f"{self._path}: cannot be written", got=" ".join(str(cause).split())) from cause

    def _raise(self, error: OSError) -> NoReturn:
        if is_full(error):
            raise NoSpace(
                f"{self._path}: no room to write the pack",
                got=error.strerror,
                do="free some space, choose another disk with -o, or a smaller --size, or --codec zstd",
            ) from error
        raise PackError(f"{self._path}: cannot be written", got=error.strerror or error) from error

    def close(self) -> None:
        """Close the file."""
        try:
            self._file.close()
        except OSError as error:
            self._error = self._error or error

    # ------------------------------------------------------------------ what h5py asks of a file object

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Tell the place."""
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        """Read bytes."""
        return self._file.read(size)

    def readinto(self, target: Any) -> int:
        """Read into a buffer."""
        return self._file.readinto(target)

    def write(self, data: Any) -> int:
        """Write all of ``data``, or drop it after an error."""
        view = memoryview(data).cast("B")
        written = 0
        try:
            while self._error is None and written < len(view):
                written += self._file.write(view[written:])
        except OSError as error:
            self._error = error
        return len(view)

    def truncate(self, size: int) -> int:
        """Set the length."""
        try:
            if self._error is None:
                self._file.truncate(size)
        except OSError as error:
            self._error = error
        return size

    def flush(self) -> None:
        """Do nothing: nothing is buffered here."""
