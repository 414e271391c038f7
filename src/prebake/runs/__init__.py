"""What trainings leave behind: run folders and cross-validations, read and written without torch."""

from prebake.runs.crossval import CV, FOLDS, OOF, CrossValidation, FoldScore, Summary, fold_folder, repeat_folder
from prebake.runs.folder import CONFIG, FORMAT, RECIPE, THRESHOLDS, Fitted, require_inside
from prebake.runs.opening import expand, fitted_thresholds, open_run
from prebake.runs.run import BEST, CHECKPOINTS, FILES, INFO, LAST, LOGS, METRICS, REPORT, SPLIT, VALIDATION, Run, Worst
from prebake.runs.thresholds import find_thresholds
from prebake.runs.together import common_recipe, common_size, common_thresholds, require_recipe, require_size
from prebake.runs.writer import RunWriter

__all__ = [
    "BEST",
    "CHECKPOINTS",
    "CONFIG",
    "CV",
    "FILES",
    "FOLDS",
    "FORMAT",
    "INFO",
    "LAST",
    "LOGS",
    "METRICS",
    "OOF",
    "RECIPE",
    "REPORT",
    "SPLIT",
    "THRESHOLDS",
    "VALIDATION",
    "CrossValidation",
    "Fitted",
    "FoldScore",
    "Run",
    "RunWriter",
    "Summary",
    "Worst",
    "common_recipe",
    "common_size",
    "common_thresholds",
    "expand",
    "find_thresholds",
    "fitted_thresholds",
    "fold_folder",
    "open_run",
    "repeat_folder",
    "require_inside",
    "require_recipe",
    "require_size",
]
