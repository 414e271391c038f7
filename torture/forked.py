"""Commands in processes forked from this one, which has loaded what they need.

Loading torch takes longer than a small training, and moments drawn at random would nearly all fall into it.
"""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

__all__ = ["Forked"]

NEEDED = (
    "lightning.pytorch",
    "pandas",
    "prebake.cli",
    "prebake.crossval",
    "prebake.training",
    "sklearn.metrics",
    "timm",
)


class Forked:
    """A command line of prebake in a session of its own, silent; as far as it is needed here like :class:`Popen`."""

    def __init__(self, words: Sequence[str], folder: Path) -> None:
        for module in NEEDED:
            importlib.import_module(module)
        self._error = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the command has ended
        self.returncode: int | None = None
        self.pid = os.fork()
        if not self.pid:
            try:
                os.setsid()
                os.chdir(folder)
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                os.dup2(self._error.fileno(), 2)
                sys.argv = ["prebake", *words]
                os._exit(_main())
            finally:
                os._exit(70)

    def communicate(self, timeout: float) -> tuple[None, bytes]:
        """Wait for the end; return what was written to standard error.

        Raises
        ------
        subprocess.TimeoutExpired
            It has not ended in time.
        """
        end = time.monotonic() + timeout
        while self.returncode is None:
            if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            elif time.monotonic() >= end:
                raise subprocess.TimeoutExpired("prebake", timeout)
            else:
                time.sleep(0.001)
        self._error.seek(0)
        return None, self._error.read()


def _main() -> int:
    from prebake.__main__ import main  # noqa: PLC0415 - after the fork it is the command's own

    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return main() or 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
