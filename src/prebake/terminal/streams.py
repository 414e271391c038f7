"""Where what is printed goes: results to standard output, errors and notes to standard error."""

from __future__ import annotations

import logging
import os
import sys

__all__ = ["complain", "say", "show_notes"]


def say(text: str) -> None:
    """Write a line to standard output."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def complain(text: str, *, first: str = "error") -> None:
    """Write an error to standard error, its first word in red on a terminal."""
    plain = not sys.stderr.isatty() or "NO_COLOR" in os.environ
    sys.stderr.write(f"{first}: {text}\n" if plain else f"\x1b[1;31m{first}:\x1b[0m {text}\n")


class _Notes(logging.Handler):
    """Writes what the modules log to the standard error of the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"note: {record.getMessage()}\n")


def show_notes() -> None:
    """Show what the user should know although nothing is wrong: warnings of the loggers below ``prebake``."""
    log = logging.getLogger("prebake")
    if not any(isinstance(handler, _Notes) for handler in log.handlers):
        log.addHandler(_Notes(logging.WARNING))
