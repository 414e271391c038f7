"""What commands print: plain text that reads well in a terminal, in a log and through a pipe.

A module for each kind of thing that is spoken of; each function takes a result and returns the text that sums it up.
Only :mod:`prebake.terminal.streams` writes anything.
"""

from prebake.terminal.auditing import audited
from prebake.terminal.comparing import ablated, compared
from prebake.terminal.layout import as_json
from prebake.terminal.measuring import benchmarked
from prebake.terminal.packs import facts, packed, repaired, split, verified
from prebake.terminal.planning import planned
from prebake.terminal.results import explained, predicted
from prebake.terminal.streams import complain, say, show_notes
from prebake.terminal.training import best, cross_validated, threshold_gain, trained

__all__ = [
    "ablated",
    "as_json",
    "audited",
    "benchmarked",
    "best",
    "compared",
    "complain",
    "cross_validated",
    "explained",
    "facts",
    "packed",
    "planned",
    "predicted",
    "repaired",
    "say",
    "show_notes",
    "split",
    "threshold_gain",
    "trained",
    "verified",
]
