"""Where a model looks: Grad-CAM for the raw value, drawn on the photograph, and a check that it shows the model."""

from prebake.explanation.drawing import limit, overlay, save_explanation
from prebake.explanation.explaining import explain, explain_subjects, explain_worst
from prebake.explanation.results import Explanation, Explanations, OnPhotograph, Subject
from prebake.explanation.sanity import SanityCheck, sanity_check

__all__ = [
    "Explanation",
    "Explanations",
    "OnPhotograph",
    "SanityCheck",
    "Subject",
    "explain",
    "explain_subjects",
    "explain_worst",
    "limit",
    "overlay",
    "sanity_check",
    "save_explanation",
]
