"""Cross-validation: every fold a run, one table of what they say out of fold, however often it is interrupted."""

from prebake.crossval.running import cross_validate
from prebake.crossval.side_by_side import cross_validate_side_by_side

__all__ = ["cross_validate", "cross_validate_side_by_side"]
