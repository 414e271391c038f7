"""Which of two results is better, and by more than noise: runs, cross-validations and predictions in any mix."""

from prebake.comparison.comparing import Change, Compared, compare
from prebake.comparison.sides import Side, open_side

__all__ = ["Change", "Compared", "Side", "compare", "open_side"]
