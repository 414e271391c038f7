"""Where a model looks: Grad-CAM for the raw value, drawn on the photograph, and a check that it shows the model."""

from prebake.explanation.drawing import overlay, save_explanation
from prebake.explanation.explaining import explain, explain_worst
from prebake.explanation.results import Explanation, Explanations, OnPhotograph
from prebake.explanation.sanity import SanityCheck, sanity_check

__all__ = [
    "Explanation",
    "Explanations",
    "OnPhotograph",
    "SanityCheck",
    "explain",
    "explain_worst",
    "overlay",
    "sanity_check",
    "save_explanation",
]
