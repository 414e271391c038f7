"""What is wrong with a data set before anything is trained on it: copies, shortcuts, shifts, balance, gaps."""

from prebake.auditing.auditing import audit
from prebake.auditing.pictures import save_pictures
from prebake.auditing.result import Audit, Clue, Copies, Copy, Finding, PackFacts, Part, Patients, Shift, Shortcuts

__all__ = [
    "Audit",
    "Clue",
    "Copies",
    "Copy",
    "Finding",
    "PackFacts",
    "Part",
    "Patients",
    "Shift",
    "Shortcuts",
    "audit",
    "save_pictures",
]
