"""prebake: preprocess a folder of photographs once into one HDF5 file, then train and predict at hardware speed.

>>> import prebake
>>> pack = prebake.pack(["photographs/"], "pack.h5", recipe="ben")      # doctest: +SKIP
>>> run = prebake.fit(["pack.h5"], "run")                                # doctest: +SKIP
>>> prebake.predict(["run"], "test_images/").to_csv("predictions.csv")   # doctest: +SKIP

The names below are the public ones. They are loaded at first use, so ``import prebake`` loads neither torch nor HDF5.
"""

import importlib

from prebake.version import __version__

TYPE_CHECKING = False  # of typing, which takes longer to load than all else here: the command is to hear signals soon
if TYPE_CHECKING:
    from prebake.ablation import ablate
    from prebake.auditing import Audit, audit
    from prebake.augment import Augment
    from prebake.comparison import compare
    from prebake.config import TrainConfig
    from prebake.crossval import cross_validate
    from prebake.errors import PrebakeError
    from prebake.explanation import Explanations, explain
    from prebake.loader import Loader, PackDataset
    from prebake.packing import pack, repair
    from prebake.prediction import Predictions, predict
    from prebake.recipe import Recipe
    from prebake.report import write_report
    from prebake.runs import CrossValidation, Run, open_run
    from prebake.splits import Folds, make_folds
    from prebake.store import Pack
    from prebake.store import open_pack as open  # noqa: A004 - prebake.open, like gzip.open
    from prebake.training import fit

__all__ = [
    "Audit",
    "Augment",
    "CrossValidation",
    "Explanations",
    "Folds",
    "Loader",
    "Pack",
    "PackDataset",
    "PrebakeError",
    "Predictions",
    "Recipe",
    "Run",
    "TrainConfig",
    "__version__",
    "ablate",
    "audit",
    "compare",
    "cross_validate",
    "explain",
    "fit",
    "make_folds",
    "open",
    "open_run",
    "pack",
    "predict",
    "repair",
    "write_report",
]

_HOME = {
    "Audit": "auditing",
    "Augment": "augment",
    "CrossValidation": "runs",
    "Explanations": "explanation",
    "Folds": "splits",
    "Loader": "loader",
    "Pack": "store",
    "PackDataset": "loader",
    "PrebakeError": "errors",
    "Predictions": "prediction",
    "Recipe": "recipe",
    "Run": "runs",
    "TrainConfig": "config",
    "ablate": "ablation",
    "audit": "auditing",
    "compare": "comparison",
    "cross_validate": "crossval",
    "explain": "explanation",
    "fit": "training",
    "make_folds": "splits",
    "open": "store",
    "open_run": "runs",
    "pack": "packing",
    "predict": "prediction",
    "repair": "packing",
    "write_report": "report",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'prebake' has no attribute {name!r}")
    try:
        module = importlib.import_module(f"prebake.{_HOME[name]}")
    except ModuleNotFoundError as error:
        from prebake.errors import MissingExtra  # noqa: PLC0415 - see above

        raise MissingExtra.explaining(error) or error from error
    value = getattr(module, "open_pack" if name == "open" else name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
