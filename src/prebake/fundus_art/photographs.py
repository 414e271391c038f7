"""A set of drawn photographs, laid out as the APTOS 2019 data set is."""

from __future__ import annotations

import itertools
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from prebake.errors import OptionError
from prebake.files import atomic_path, digest, write_json, write_text
from prebake.fundus_art.drawing import Eye, draw
from prebake.progress import progress as progress_bar

__all__ = ["Drawing", "generate", "plan"]

Pathish = str | os.PathLike[str]

GRADES = (0, 2, 1, 4, 3, 0, 0, 2, 0, 2, 0, 0, 1, 0, 2, 3, 0, 4, 2, 0)
"""Grades of twenty patients, nearly as in APTOS 2019 (49, 10, 27, 5 and 8 of 100); grades 3 and 4 are more frequent."""

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
