"""Small sources of every kind, from a dictionary of names and contents."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return ``make(files, kind="folder", name="data")``: writes the files and returns the folder, .zip or .tar."""

    def build(files: Mapping[str, str | bytes | None], kind: str = "folder", name: str = "data") -> Path:
        folder = tmp_path / name
        for member, content in files.items():
            path = folder / member
            path.parent.mkdir(parents=True, exist_ok=True)
            data = f"bytes of {member}" if content is None else content
            path.write_bytes(data if isinstance(data, bytes) else data.encode())
        if kind == "folder":
            return folder
        archive = tmp_path / f"{name}.{kind}"
        if kind == "zip":
            with zipfile.ZipFile(archive, "w") as target:
                for number, member in enumerate(files):
                    how = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[number % 2]
                    target.write(folder / member, member, compress_type=how)
        else:
            with tarfile.open(archive, "w") as target:
                target.add(folder, ".")
        return archive

    return build
