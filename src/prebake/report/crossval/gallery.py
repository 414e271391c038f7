"""The largest errors as the page shows them: photograph, baked image and map side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from prebake.decode import decode
from prebake.errors import PrebakeError
from prebake.report.crossval.folds import fold_name
from prebake.report.crossval.maps import maps, over
from prebake.report.crossval.worst import largest_errors, with_pictures
from prebake.report.pictures import data_uri
from prebake.report.words import number
from prebake.show import read_photograph

if TYPE_CHECKING:
    import numpy.typing as npt

    from prebake.explanation import Explanation
    from prebake.report.crossval.packs import Found, Sources
    from prebake.report.crossval.result import OutOfFold
    from prebake.report.crossval.worst import Photo

__all__ = ["gallery"]

LONGEST = 720  # pixels of the longer side of a photograph on the page
BAKED = 512  # and of a baked image
QUALITY = 82
NO_SOURCE = (
    "The photographs themselves are not shown: prebake report CV --source FOLDER names the folders or archives that "
    "the packs were made of."
)


def gallery(found: OutOfFold, packs: Found, sources: Sources, device: str) -> dict[str, Any]:
    """Return the largest errors with their pictures, and what is missing of them."""
    runs = found.cv.begun()
    photos, notes = with_pictures(largest_errors(found), runs, packs, sources)
    explained, reasons = maps(photos, runs, device)
    cards = [_card(photo, explained.get(photo), found) for photo in photos]
    notes = [*notes, *reasons]
    if photos and not any(photo.sample for photo in photos):
        notes.append(NO_SOURCE)
    if any(photo.image is None for photo in photos):
        notes.append("Of some not even the baked image is shown: their packs are not where they were.")
    rough = next((one for one in explained.values() if one.approximate), None)
    if rough is not None:
        notes.append("Places on photographs are approximate: this recipe takes dark rows out of the middle, too.")
    cells = next((max(one.grid) for one in explained.values()), 0)
    wide = any(len(card["pictures"]) > 1 for card in cards)
    return {"cards": cards, "notes": notes, "maps": bool(explained), "cells": cells, "wide": wide}


def _card(photo: Photo, explanation: Explanation | None, found: OutOfFold) -> dict[str, Any]:
    off = photo.raw - photo.label
    said = f"label {photo.label:g}, graded {photo.grade}"
    pictures: list[dict[str, str]] = []
    shown, problem = _photograph(photo)
    if shown is not None:
        pictures.append(_picture(shown, "photograph", f"Photograph {photo.id}: {said}"))
    if photo.image is not None:
        baked = _at_most(photo.image, BAKED)
        pictures.append(_picture(baked, "baked", f"Baked image of {photo.id}: {said}"))
    strongest = ""
    if explanation is not None:
        image, value = over(explanation, LONGEST if shown is not None else None)
        strongest = f"{value:.2g}"
        words = f"Grad-CAM of {photo.id}: orange where it raises the grade, blue where it lowers it"
        pictures.append(_picture(image, "Grad-CAM", words))
    folds = ", ".join(fold_name(found.cv, *fold) for fold in photo.folds)
    return {
        "id": photo.id,
        "label": f"{photo.label:g}",
        "grade": str(photo.grade),
        "raw": number(photo.raw),
        "off": f"{number(abs(off))} too {'high' if off > 0 else 'low'}",
        "fold": f"fold{'s' * (len(photo.folds) > 1)} {folds}",
        "pictures": pictures,
        "strongest": strongest,
        "problem": problem,
    }


def _photograph(photo: Photo) -> tuple[npt.NDArray[np.uint8] | None, str]:
    """Return the photograph reduced for the page; ``None`` and why, where it was found and cannot be shown."""
    if photo.sample is None:
        return None, ""
    try:
        data = read_photograph(photo.sample, photo.digest)
        return _at_most(decode(data, min_side=LONGEST, exact=False).image, LONGEST), ""
    except (PrebakeError, OSError) as error:
        return None, f"The photograph is not shown: {str(error).splitlines()[0]}."


def _at_most(image: npt.NDArray[np.uint8], longest: int) -> npt.NDArray[np.uint8]:
    scale = longest / max(image.shape[:2])
    if scale >= 1:
        return image
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _picture(image: npt.NDArray[np.uint8], name: str, alt: str) -> dict[str, str]:
    height, width = image.shape[:2]
    return {
        "src": data_uri(image, QUALITY),
        "name": name,
        "alt": alt,
        "width": str(width),
        "height": str(height),
        "ratio": f"{width / height:.3f}",
    }
