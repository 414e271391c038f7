"""Pages that are made from something say what that says."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_the_page_on_performance_shows_what_was_measured() -> None:
    page = runpy.run_path(str(DOCS / "generate_performance.py"))["page"]()
    assert page == (DOCS / "performance.md").read_text(encoding="utf-8"), "run make docs"
