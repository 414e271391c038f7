"""Where the models looked that had not seen a photograph: the only part of a report that needs torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prebake.errors import MissingExtra, PrebakeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from prebake.explanation import Explanation
    from prebake.report.crossval.worst import Photo
    from prebake.runs import Run

__all__ = ["maps", "over"]


def maps(
    photos: Sequence[Photo], runs: dict[tuple[int, int], Run], device: str
) -> tuple[dict[Photo, Explanation], list[str]]:
    """Explain photographs by the models of the folds that validated them; of several repeats by their mean.

    Returns
    -------
    Explanations of the photographs that have one, and a sentence that says why others have none, if there are such.
    """
    try:
        from prebake.explanation import Subject, explain_subjects  # noqa: PLC0415 - torch, only where it is needed
    except ModuleNotFoundError as error:
        missing = MissingExtra.explaining(error)
        if missing is None:
            raise
        return {}, [f"There are no Grad-CAM maps on this page: {missing.what} where it was written."]
    found: dict[Photo, Explanation] = {}
    reasons = []
    for folds in dict.fromkeys(photo.folds for photo in photos):
        own = [photo for photo in photos if photo.folds == folds and photo.image is not None]
        subjects = [
            Subject(one.id, one.label, one.image, one.to_source, one.sample, one.digest)
            for one in own
            if one.image is not None
        ]
        try:
            explained = explain_subjects([runs[fold] for fold in folds], subjects, device)
        except PrebakeError as error:
            reasons.append(str(error).splitlines()[0])
        else:
            found |= dict(zip(own, explained, strict=True))
    others = len(reasons) - 1
    more = f"; and of {others} more set{'s' * (others > 1)} of folds for the like" if others > 0 else ""
    return found, [f"Grad-CAM maps are missing: {reasons[0]}{more}."] if reasons else []


def over(explanation: Explanation, longest: int | None) -> tuple[npt.NDArray[np.uint8], float]:
    """Draw a map over its photograph, or over the baked image.

    Parameters
    ----------
    explanation
        What to draw.
    longest
        Pixels of the longer side of the photograph; ``None``: the baked image.

    Returns
    -------
    (H, W, 3) uint8 RGB, and the value in grades that has the strongest colour.
    """
    from prebake.explanation import limit, overlay  # noqa: PLC0415 - torch is there, or nothing would be explained

    strongest = limit(explanation.map)
    shown = explanation.on_photograph(longest) if longest else None
    if shown is None:
        return overlay(explanation.image, explanation.map, strongest), strongest
    return overlay(shown.image, shown.map, strongest), strongest
