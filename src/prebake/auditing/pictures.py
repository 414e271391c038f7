"""Copies as pictures: a PNG for each cluster, its photographs side by side as they were baked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from prebake.auditing.words import kinds_of, label_text
from prebake.errors import OptionError
from prebake.show import save_picture, sheet

if TYPE_CHECKING:
    import os

    from prebake.auditing.result import Audit

__all__ = ["save_pictures"]

CELL = 384


def save_pictures(audit: Audit, folder: str | os.PathLike[str]) -> list[Path]:
    """Write ``copies-001.png`` ... into a folder, in the order of :attr:`Audit.copies`: different labels first.

    Each picture says how the copies are known, and of every photograph its id, pack and label. Pictures of an earlier
    audit in the folder are written over; those beyond the last one are removed.

    Returns
    -------
    The files.

    Raises
    ------
    OptionError
        ``folder`` is a file.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise OptionError("the pictures go into a folder", expected="a folder, or a page ending in .html", got=folder)
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("copies-[0-9]*.png"):
        stale.unlink()
    files = []
    for number, copies in enumerate(audit.copies, start=1):
        placed = [audit.rows.place(copy.row) for copy in copies.members]
        names = [f"{copy.pack}: {copy.id}" if len(audit.packs) > 1 else copy.id for copy in copies.members]
        labels = [f"label {label_text(copy.label)}" for copy in copies.members]
        title = kinds_of(copies) + (", different labels" if copies.conflict else "")
        picture = sheet([pack[index] for pack, index in placed], names, labels, title=title, cell=CELL)
        files.append(save_picture(picture, folder / f"copies-{number:03d}.png"))
    return files
