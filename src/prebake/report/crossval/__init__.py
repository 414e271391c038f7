"""The page about a cross-validation: what it reached out of fold, how its folds went, and what to check by eye."""
