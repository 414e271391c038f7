"""Photographs without a table: ids from paths, labels from sub-folders called 0, 1, 2, ... if there are such."""

# names here are text by the hundred thousand
# ruff: noqa: PTH119, PTH120
from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Sequence

from prebake.records import Sample
from prebake.sources.containers import BROKEN, File, Listing
from prebake.sources.matching import folder_split
from prebake.sources.tables import bare_name

__all__ = ["plain_samples"]

_MOST_CLASSES = 10


def plain_samples(listing: Listing, source: str, prefix: str) -> tuple[list[Sample], list[str]]:
    """Return a sample for each photograph of a listing, and the problems.

    The id is the path below the folder that holds all photographs, without extension; two photographs that differ in
    nothing but the extension keep it.

    Parameters
    ----------
    listing
        The source.
    source
        Its name.
    prefix
        What ids start with.
    """
    files = listing.photographs
    names = _names([file.member for file in files])
    labels = _folder_labels(files)
    samples, problems = [], []
    for file, name in zip(files, names, strict=True):
        if file.size == BROKEN:
            problems.append(f"{file.member} is a link that leads nowhere")
        elif not name.isprintable():
            problems.append(f"{file.member!r}: the name has characters that cannot be printed")
        else:
            split = folder_split(file.member.rpartition("/")[0])
            label = labels.get(file.member)
            samples.append(
                Sample(f"{prefix}{name}", listing.root, file.member, file.size, file.stamp, label, None, source, split)
            )
    return samples, problems


def _names(members: Sequence[str]) -> list[str]:
    common = os.path.commonpath([os.path.dirname(member) for member in members])
    below = [unicodedata.normalize("NFC", member[len(common) + 1 :] if common else member) for member in members]
    count = Counter(map(bare_name, below))
    return [bare_name(name) if count[bare_name(name)] == 1 else name for name in below]


def _folder_labels(files: Sequence[File]) -> dict[str, float]:
    """Return labels by member where every photograph lies in a folder called 0, 1, 2, ..., with no number left out."""
    folders = {file.member: os.path.basename(os.path.dirname(file.member)) for file in files}
    classes = set(folders.values())
    if 2 <= len(classes) <= _MOST_CLASSES and classes == {str(number) for number in range(len(classes))}:
        return {member: float(folder) for member, folder in folders.items()}
    return {}
