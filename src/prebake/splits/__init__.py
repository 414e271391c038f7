"""Which photographs train and which validate: stratified by label; a patient and all copies stay on one side."""

from prebake.splits.balance import stratified_folds
from prebake.splits.folds import Folds, make_folds
from prebake.splits.holding_out import holdout
from prebake.splits.together import together

__all__ = ["Folds", "holdout", "make_folds", "stratified_folds", "together"]
