"""A picture of what is in a pack: baked images in a grid with ids and labels, beside their photographs if wanted."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from prebake.decode import decode
from prebake.errors import OptionError, PackError, SourceError
from prebake.files import atomic_path, digest
from prebake.sources import read_bytes, survey
from prebake.store import Pack, Packs, open_pack

if TYPE_CHECKING:
    from prebake.records import Sample

__all__ = [
    "choose_rows",
    "drawable",
    "find_photographs",
    "fit",
    "grid",
    "match_photographs",
    "read_photograph",
    "save_grid",
    "save_picture",
    "sheet",
]

Pathish = str | os.PathLike[str]
Pixels = npt.NDArray[np.uint8]

BACKGROUND = (22, 23, 26)
TEXT = (225, 228, 232)
LABEL = (255, 186, 84)
GAP, LINE = 10, 30
FONT, FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 1.0


def save_grid(
    pack: Packs,
    output: Pathish,
    ids: Sequence[str] | None = None,
    *,
    count: int = 25,
    sources: Sequence[Pathish] | Pathish | None = None,
    cell: int = 256,
) -> Path:
    """Draw :func:`grid` and write it as a PNG: whole, or not at all.

    Parameters
    ----------
    output
        The file to write, ending in ``.png``; its folder is made if it is not there.
    pack, ids, count, sources, cell
        As in :func:`grid`.

    Returns
    -------
    The file.

    Raises
    ------
    OptionError
        ``output`` does not end in ``.png``; and whatever :func:`grid` raises.
    """
    output = Path(output)
    if output.suffix.lower() != ".png":
        raise OptionError(
            "the picture is written as PNG", expected="a name ending in .png", got=output, do="-o grid.png"
        )
    return save_picture(grid(pack, ids, count=count, sources=sources, cell=cell), output)


def save_picture(picture: Pixels, output: Path) -> Path:
    """Write a picture, uint8 (H, W, 3), RGB, as a PNG: whole, or not at all; return the file."""
    _, encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(output) as temporary:
        temporary.write_bytes(encoded.tobytes())
    return output


def grid(
    pack: Packs,
    ids: Sequence[str] | None = None,
    *,
    count: int = 25,
    sources: Sequence[Pathish] | Pathish | None = None,
    cell: int = 256,
) -> Pixels:
    """Draw baked images in a grid, each with its id and its label under it.

    Parameters
    ----------
    pack
        A pack, its path or a pattern; or several, which are then one.
    ids
        The images to draw, in this order. Without them ``count`` images are chosen: all labels in turn (a missing one
        is a label too), spread evenly over the pack, always the same ones.
    count
        How many images to choose when no ids are given.
    sources
        The folders or archives that the pack was made of: each image is drawn to the right of its photograph. A pack
        holds no pixels of the photographs and does not know where on this machine they are.
    cell
        Width and height, in pixels, of the square that each picture is fitted into.

    Returns
    -------
    uint8 array (H, W, 3), RGB.

    Raises
    ------
    PackError
        The pack has no such id (the nearest one is named), or no image at all.
    SourceError
        A photograph is not in ``sources``, or is not the one that was baked.
    OptionError
        ``count`` or ``cell`` cannot be used.

    Examples
    --------
    >>> grid("pack.h5", ["0a09aa7356c0"], cell=512).shape      # doctest: +SKIP
    (562, 532, 3)
    """
    if count < 1 or cell < 32:
        raise OptionError(
            "the grid would show nothing", expected="count of 1, cell of 32 or more", got=f"count {count}, cell {cell}"
        )
    pack = open_pack(pack)
    if len(pack) == 0:
        raise PackError(f"{pack.name} holds no image", do="prebake info PACK shows what failed")
    rows = [pack.index_of(name) for name in ids] if ids else choose_rows(pack.labels, count)
    photographs = [] if sources is None else find_photographs(pack, rows, sources)
    pictures = []
    for place, row in enumerate(rows):
        squares = [fit(pack[row], cell)]
        if photographs:
            data = read_photograph(photographs[place], pack.source_digest[row])
            before = _fit(decode(data, min_side=cell, exact=False).image, cell)
            squares = [before, np.full((cell, GAP // 2, 3), BACKGROUND, np.uint8), *squares]
        pictures.append(_caption(np.concatenate(squares, axis=1), pack.ids[row], _label(pack.labels[row])))
    return _arrange(pictures)


def sheet(images: Sequence[Pixels], names: Sequence[str], labels: Sequence[str], *, title: str, cell: int) -> Pixels:
    """Draw images in a grid under a title, each with a name and a label under it.

    Parameters
    ----------
    images
        At least one, uint8 (H, W, C), RGB.
    names, labels
        One of each for every image.
    title
        What stands above all of them.
    cell
        Width and height, in pixels, of the square that each image is fitted into.

    Returns
    -------
    uint8 array (H, W, 3), RGB.
    """
    drawn = _arrange(
        [_caption(fit(image, cell), name, label) for image, name, label in zip(images, names, labels, strict=True)]
    )
    above = np.full((GAP + LINE, drawn.shape[1], 3), BACKGROUND, np.uint8)
    line = above[GAP:, GAP:-GAP]
    _write(line, _shorten(title, line.shape[1]), 0, TEXT)
    return np.concatenate([above, drawn])


def fit(image: Pixels, cell: int) -> Pixels:
    """Scale an image of any number of channels to fit a square of ``cell`` pixels: (cell, cell, 3)."""
    return _fit(_colour(image), cell)


def choose_rows(labels: npt.NDArray[np.float32], count: int) -> list[int]:
    """Return at most ``count`` rows: the labels share them as evenly as they can, in each label evenly spread."""
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels[~np.isnan(labels)])]
    groups = [group for group in (*groups, np.flatnonzero(np.isnan(labels))) if len(group)]
    share = [0] * len(groups)
    while sum(share) < min(count, len(labels)):
        open_groups = [i for i, group in enumerate(groups) if share[i] < len(group)]
        share[min(open_groups, key=lambda i: share[i])] += 1
    rows: list[int] = []
    for group, number in zip(groups, share, strict=True):
        places = (np.arange(number) + 0.5) * len(group) / max(1, number)
        rows += group[places.astype(np.int64)].tolist()
    return rows


def match_photographs(pack: Pack, rows: Sequence[int], sources: Sequence[Pathish] | Pathish) -> list[Sample | None]:
    """Find the sample of every row: by its path in the source, or by its id where the source was renamed."""
    samples = survey(sources).samples
    by_path = {sample.path: sample for sample in samples}
    by_id = {sample.id: sample for sample in samples}
    return [by_path.get(pack.paths[row]) or by_id.get(pack.ids[row]) for row in rows]


def find_photographs(pack: Pack, rows: Sequence[int], sources: Sequence[Pathish] | Pathish) -> list[Sample]:
    """Do what :func:`match_photographs` does, and refuse sources that lack a photograph."""
    listed = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
    found = match_photographs(pack, rows, listed)
    missing = [pack.ids[row] for row, sample in zip(rows, found, strict=True) if sample is None]
    if missing:
        raise SourceError(
            f"{len(missing)} of {len(rows)} photographs are not in the sources: {', '.join(missing[:5])}"
            + (", ..." if len(missing) > 5 else ""),
            expected="the folders or archives that the pack was made of",
            got=", ".join(str(source) for source in listed),
            do="give all of them, as they were given to prebake pack",
        )
    return [sample for sample in found if sample is not None]


def read_photograph(sample: Sample, baked_from: str) -> bytes:
    """Read a photograph, after making sure that it is the one that was baked (where its digest is known)."""
    data = read_bytes(sample)
    if baked_from and digest(data) != baked_from:
        raise SourceError(
            f"{sample.id} ({sample.path}) is not the photograph that was baked",
            expected=f"digest {baked_from}",
            got=f"digest {digest(data)}",
            do="pack the sources again, or give the ones that the pack was made of",
        )
    return data


def _colour(image: Pixels) -> Pixels:
    """Return ``(H, W, 3)`` of one, three or more channels: gray is repeated, of more the first three are shown."""
    return np.repeat(image, 3, axis=2) if image.shape[2] < 3 else image[:, :, :3]


def _fit(image: Pixels, cell: int) -> Pixels:
    """Scale an image to fit a square, centred on the background."""
    scale = cell / max(image.shape[:2])
    width, height = (max(1, round(side * scale)) for side in (image.shape[1], image.shape[0]))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    square = np.full((cell, cell, 3), BACKGROUND, np.uint8)
    top, left = (cell - height) // 2, (cell - width) // 2
    square[top : top + height, left : left + width] = cv2.resize(image, (width, height), interpolation=method)
    return square


def _label(value: float) -> str:
    if math.isnan(value):
        return "no label"
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.2f}"


def _caption(picture: Pixels, name: str, label: str) -> Pixels:
    """Put a line under a picture: the label at the right, the id at the left, shortened in the middle to fit."""
    width = picture.shape[1]
    line = np.full((LINE, width, 3), BACKGROUND, np.uint8)
    right = _text_width(label)
    _write(line, label, width - right, LABEL)
    _write(line, _shorten(name, width - right - 12), 0, TEXT)
    return np.concatenate([picture, line])


def _shorten(text: str, room: int) -> str:
    short, keep = text, len(text)
    while _text_width(short) > room and keep > 1:
        keep -= 1
        short = f"{text[: keep - keep // 2]}...{text[len(text) - keep // 2 :]}"
    return short


def drawable(text: str) -> str:
    """OpenCV before 5 draws ASCII only; there other characters are written as escapes rather than as '?'."""
    return text if int(cv2.__version__.split(".")[0]) >= 5 else text.encode("ascii", "backslashreplace").decode()


def _text_width(text: str) -> int:
    """Return the width in pixels; text is drawn at twice its size and reduced, which is smoother."""
    return math.ceil(cv2.getTextSize(drawable(text), FONT, FONT_SCALE, 2)[0][0] / 2) + 2


def _write(line: Pixels, text: str, left: int, colour: tuple[int, int, int]) -> None:
    """Write text into a line ``(LINE, W, 3)``, in place, from column ``left`` on."""
    height, width = line.shape[0], max(1, min(_text_width(text), line.shape[1] - left))
    ink = np.zeros((2 * height, 2 * width), np.uint8)
    cv2.putText(ink, drawable(text), (2, 2 * height - 20), FONT, FONT_SCALE, 255, 2, cv2.LINE_AA)
    strength = cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA)[..., None] / 255
    part = line[:, left : left + width]
    part[:] = np.round(part + strength * (np.array(colour) - part))


def _arrange(pictures: Sequence[Pixels]) -> Pixels:
    """Lay pictures of one size out in rows: about square as a whole, with few empty places."""
    height, width = pictures[0].shape[:2]
    square = max(1, int(math.sqrt(len(pictures) * height / width)))
    columns = min(range(square, square + 3), key=lambda wide: (-len(pictures) % wide, -wide))
    rows = math.ceil(len(pictures) / columns)
    sheet = np.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3), BACKGROUND, np.uint8)
    for place, picture in enumerate(pictures):
        top = GAP + place // columns * (height + GAP)
        left = GAP + place % columns * (width + GAP)
        sheet[top : top + height, left : left + width] = picture
    return sheet
