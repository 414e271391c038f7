"""Write docs/cli.md from the command line's own help (make docs); a test compares the two."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from prebake.cli import app

PAGE = Path(__file__).with_name("cli.md")


def page() -> str:
    """Return the page: what ``--help`` of every command says, as Markdown."""
    text = app.generate_docs()
    text = re.sub(r"## Table of Contents\n.*?(?=\*\*Commands\*\*)", "", text, flags=re.DOTALL)
    text = re.sub(r"^prebake (\w+) \1 ", r"prebake \1 ", text, flags=re.MULTILINE)
    return text.rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE}\n")
