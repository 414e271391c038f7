"""A written page in the browser of the user."""

from __future__ import annotations

import webbrowser
from typing import TYPE_CHECKING

from prebake import terminal

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["show_in_browser"]


def show_in_browser(page: Path) -> None:
    """Open a page in the browser, or say that there is none: the page is written either way, so that is no error."""
    address = page.resolve().as_uri()
    try:
        opened = webbrowser.open(address)
    except (webbrowser.Error, OSError):
        opened = False
    terminal.say(f"opened {address}" if opened else f"there is no browser here to open it in: {address}")
