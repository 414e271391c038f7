"""Fixtures that several test modules share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is not a wrong result; and a run of the tests can be repeated.
settings.register_profile("prebake", deadline=None, print_blob=True, derandomize=True)
settings.load_profile("prebake")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def idrid() -> Path:
    """Folder of the IDRiD grading photographs, laid beside the repository as ../shared/data/idrid."""
    folder = SHARED / "data" / "idrid"
    if not folder.is_dir():
        pytest.skip("the IDRiD photographs are not here (../shared/data/idrid)")
    return folder


@pytest.fixture(scope="session")
def golden() -> Path:
    """Outputs of the published preprocessing, laid beside the repository as ../shared/golden."""
    folder = SHARED / "golden"
    if not folder.is_dir():
        pytest.skip("the golden outputs of the published preprocessing are not here (../shared/golden)")
    return folder
