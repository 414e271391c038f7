"""Where what is printed goes: results to standard output, errors and notes to standard error."""

from __future__ import annotations

import logging
import os
import re
import sys

from prebake.remote import redact

__all__ = ["complain", "plain", "say", "show_notes"]


# What moves a cursor, colours, turns the direction of writing or cannot be encoded: ids and paths may hold all of it.
_ALIVE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: str) -> str:
    r"""Return text in which everything that a terminal would obey is spelt out.

    Examples
    --------
    >>> print(plain("id\x1b[2J"))
    id\u001b[2J
    """
    return _ALIVE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def say(text: str) -> None:
    """Write a line to standard output."""
    sys.stdout.write(plain(text) + "\n")
    sys.stdout.flush()


def complain(text: str, *, first: str = "error") -> None:
    """Write an error to standard error, its first word in red on a terminal."""
    text = redact(text)
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    sys.stderr.write(f"\x1b[1;31m{first}:\x1b[0m {plain(text)}\n" if colour else f"{first}: {plain(text)}\n")


class _Notes(logging.Handler):
    """Writes what the modules log to the standard error of the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"note: {plain(redact(record.getMessage()))}\n")


def show_notes() -> None:
    """Show what the user should know although nothing is wrong: warnings of the loggers below ``prebake``."""
    log = logging.getLogger("prebake")
    if not any(isinstance(handler, _Notes) for handler in log.handlers):
        log.addHandler(_Notes(logging.WARNING))
