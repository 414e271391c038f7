"""Pictures of explanations: photograph, baked image and overlay side by side, with a legend and a caption."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from prebake.explanation.results import LONGEST, Explanation
from prebake.files import atomic_path, digest
from prebake.show import drawable

if TYPE_CHECKING:
    import os

    import numpy.typing as npt

    from prebake.explanation.results import OnPhotograph

__all__ = ["limit", "overlay", "save_explanation", "sheet"]

HIGHER, LOWER = (255, 148, 38), (36, 150, 255)
"""Orange raises the grade, blue lowers it: told apart with every kind of colour blindness (after Okabe and Ito)."""

BACKGROUND, TEXT = (22, 23, 26), (225, 228, 232)
GAP, LINE, FONT = 24, 40, cv2.FONT_HERSHEY_SIMPLEX
STRONGEST = 0.8  # what of the picture the strongest colour hides
PANEL = 640  # pixels of the side of a baked image that stands alone
LONGEST_NAME = 100


def limit(values: npt.NDArray[np.float32]) -> float:
    """Return the largest absolute value of a map, where the colours are strongest; 1e-6 for a map of zeros."""
    return max(float(np.nanmax(np.abs(values), initial=0.0)), 1e-6)


def overlay(
    image: npt.NDArray[np.uint8], values: npt.NDArray[np.float32], strongest: float | None = None
) -> npt.NDArray[np.uint8]:
    """Colour a picture, made grey, by a map: orange where it raises the grade, blue where it lowers it.

    Parameters
    ----------
    image
        (H, W, 3) uint8, RGB.
    values
        (H, W) float32; the colour covers the more the farther from 0 the value is. NaN (the model saw nothing there)
        is left grey and darkened.
    strongest
        The absolute value with the strongest colour, :func:`limit` of the map without it.

    Returns
    -------
    (H, W, 3) uint8, RGB.

    Examples
    --------
    >>> overlay(np.full((1, 3, 3), 100, np.uint8), np.array([[1, 0, -1]], np.float32)).tolist()
    [[[224, 138, 50], [100, 100, 100], [49, 140, 224]]]
    """
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB).astype(np.float32)
    share = np.clip(values / (strongest or limit(values)), -1, 1)
    colour = np.where(share[..., None] > 0, np.array(HIGHER, np.float32), np.array(LOWER, np.float32))
    covered = grey + STRONGEST * np.abs(share)[..., None] * (colour - grey)
    return np.round(np.where(np.isnan(share)[..., None], grey / 2, covered)).astype(np.uint8)


def sheet(explanation: Explanation, longest: int = LONGEST) -> npt.NDArray[np.uint8]:
    """Draw one explanation: pictures with titles, a legend, and what the model says.

    Parameters
    ----------
    explanation
        What to draw.
    longest
        Pixels of the longer side of the photograph at most.

    Returns
    -------
    (H, W, 3) uint8, RGB. Without the photograph, or where its geometry is unknown, only baked image and overlay.
    """
    shown = explanation.on_photograph(longest)
    strongest = limit(explanation.map)
    size = explanation.image.shape[0]
    baked = f"what the model sees ({size} x {size})"
    if shown is None:
        side = (PANEL, PANEL)
        image = np.asarray(cv2.resize(explanation.image, side, interpolation=cv2.INTER_CUBIC), np.uint8)
        values = np.asarray(cv2.resize(explanation.map, side, interpolation=cv2.INTER_LINEAR), np.float32)
        panels = [(image, baked), (overlay(image, values, strongest), "Grad-CAM on it")]
    else:
        height, width = shown.image.shape[:2]
        reduced = f", shown {width} x {height}" if width < shown.width else ""
        side = (min(height, width), min(height, width))
        middle = np.full((height, side[0], 3), BACKGROUND, np.uint8)
        top = (height - side[1]) // 2
        middle[top : top + side[1]] = cv2.resize(explanation.image, side, interpolation=cv2.INTER_CUBIC)
        panels = [
            (shown.image, f"photograph ({shown.width} x {shown.height}{reduced})"),
            (middle, baked),
            (overlay(shown.image, shown.map, strongest), "Grad-CAM on the photograph"),
        ]
    row = _row(panels)
    return np.concatenate([row, _legend(row.shape[1], strongest), _lines(_words(explanation, shown), row.shape[1])])


def save_explanation(explanation: Explanation, folder: str | os.PathLike[str], longest: int = LONGEST) -> Path:
    """Write :func:`sheet` as ``folder/<id>.png``: whole, or not at all.

    What cannot stand in the name of a file is replaced; a few characters of a digest then keep names apart.

    Returns
    -------
    The file.
    """
    target = Path(folder) / f"{_file_name(explanation.id)}.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    picture = cv2.cvtColor(sheet(explanation, longest), cv2.COLOR_RGB2BGR)
    with atomic_path(target) as temporary:
        temporary.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    return target


def _file_name(name: str) -> str:
    plain = re.sub(r"[^\w.-]", "_", name).lstrip(".")[:LONGEST_NAME]
    return plain if plain == name else f"{plain}-{digest(name.encode('utf-8', 'surrogatepass'))[:8]}"


def _words(explanation: Explanation, shown: OnPhotograph | None) -> list[str]:
    """Return the lines below the pictures: what the model says, how the map was made, what to be careful with."""
    label = explanation.subject.label
    truth = "" if np.isnan(label) else f"   label {label:g}"
    rows, columns = explanation.grid
    mean = f"mean of {explanation.runs} runs, " if explanation.runs > 1 else ""
    cell = round(explanation.image.shape[0] / max(rows, columns))
    words = [
        f"{explanation.id}   grade {explanation.diagnosis}   raw value {explanation.raw:.2f}{truth}",
        f"Grad-CAM for the raw value, {mean}cells of {cell} pixels of the baked image ({rows} x {columns})",
        "It shows where the model looks, not where disease is; detail finer than a cell is not resolved.",
    ]
    if not explanation.geometry_known:
        words.append("Drawn on the baked image: which point of the photograph a baked pixel shows is not known.")
    elif shown is None:
        words.append("Drawn on the baked image: the photograph was not given.")
    elif explanation.approximate:
        words.append("Place on the photograph is approximate: this recipe also takes dark rows out of the middle.")
    return words


def _row(panels: list[tuple[npt.NDArray[np.uint8], str]]) -> npt.NDArray[np.uint8]:
    """Lay pictures of one height side by side, each below its title."""
    height = panels[0][0].shape[0]
    gap = np.full((height + LINE + GAP, GAP, 3), BACKGROUND, np.uint8)
    parts = [gap]
    for image, title in panels:
        width = image.shape[1]
        head = np.full((LINE + GAP, width, 3), BACKGROUND, np.uint8)
        _write(head, title, (0, LINE), _fitting(title, width))
        parts += [np.concatenate([head, image]), gap]
    return np.concatenate(parts, axis=1)


def _legend(width: int, strongest: float) -> npt.NDArray[np.uint8]:
    """Draw the bar of colours between what they mean."""
    legend = np.full((2 * LINE, width, 3), BACKGROUND, np.uint8)
    left, right = f"lowers the grade  -{strongest:.2g}", f"+{strongest:.2g}  raises the grade (in grades)"
    room = max(40, min(400, width // 4))
    scale = _fitting(left + right, width - room - 4 * GAP)
    start = GAP + _width(left, scale) + GAP
    values = np.broadcast_to(np.linspace(-1, 1, room, dtype=np.float32), (LINE - 8, room))
    bar = overlay(np.full((LINE - 8, room, 3), 110, np.uint8), np.ascontiguousarray(values), 1.0)
    top = (2 * LINE - bar.shape[0]) // 2
    legend[top : top + bar.shape[0], start : start + room] = bar
    base = top + bar.shape[0] - 8
    _write(legend, left, (GAP, base), scale)
    _write(legend, right, (start + room + GAP, base), scale)
    return legend


def _lines(words: list[str], width: int) -> npt.NDArray[np.uint8]:
    """Write lines of text, broken where they are too long."""
    room, scale = width - 2 * GAP, 0.8
    lines: list[str] = []
    for text in words:
        line = ""
        for word in text.split(" "):
            longer = f"{line} {word}" if line else word
            if line and _width(longer, scale) > room:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    block = np.full((LINE * len(lines) + GAP, width, 3), BACKGROUND, np.uint8)
    for number, line in enumerate(lines):
        _write(block, line, (GAP, LINE * number + LINE - 12), min(scale, _fitting(line, room)))
    return block


def _width(text: str, scale: float) -> int:
    return int(cv2.getTextSize(drawable(text), FONT, scale, 2)[0][0])


def _fitting(text: str, room: int) -> float:
    """Return the size of letters with which a text fits, 0.8 at most."""
    return min(0.8, 0.8 * room / max(1, _width(text, 0.8)))


def _write(image: npt.NDArray[np.uint8], text: str, place: tuple[int, int], scale: float) -> None:
    cv2.putText(image, drawable(text), place, FONT, scale, TEXT, 1 if scale < 0.7 else 2, cv2.LINE_AA)
