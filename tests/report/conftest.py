"""A made-up run folder for every test of the report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from report_helpers import make_run

if TYPE_CHECKING:
    from prebake.runs import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path / "run")
