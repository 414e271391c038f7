"""Photographs, and recipes that worker processes import from here: the first pixel of a photograph steers them."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from prebake.recipe import Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZE = 16
DEADLY = 255
MOOD = "PREBAKE_TEST_MOOD"  # see moody
LOG = "PREBAKE_TEST_LOG"  # a file that gets a line for each photograph that is baked


def photograph(path: Path, value: int, *, height: int = 30, width: int = 40) -> Path:
    """Write a .png whose first pixel is ``value`` in all channels, and which differs from those of other values."""
    image = np.full((height, width, 3), value, np.uint8)
    image[5:, 7:, 0] += np.arange(width - 7, dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)
    return path


def photographs(folder: Path, values: Iterable[int]) -> Path:
    for value in values:
        photograph(folder / f"p{value:03d}.png", value)
    return folder


def shrink(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if path := os.environ.get(LOG):
        with Path(path).open("a") as log:
            log.write(f"{image[0, 0, 0]}\n")
    if image[0, 0, 0] == 250:
        raise ValueError("it is the one\nthat cannot be baked")
    if image[0, 0, 0] == 251:
        sys.exit(3)
    return cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def slowly(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    time.sleep(0.04)
    return shrink(image)


def very_slowly(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    time.sleep(2)
    return shrink(image)


def removing_run(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Do what the next driver does, the log being beside the run folder."""
    shutil.rmtree(Path(os.environ[LOG]).with_name("run"))
    return shrink(image)


def killed(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if image[0, 0, 0] == DEADLY:
        os.kill(os.getpid(), signal.SIGKILL)
    return slowly(image)


def segfaulting(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if image[0, 0, 0] == DEADLY:
        ctypes.string_at(0)
    return slowly(image)


def killed_once(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if image[0, 0, 0] == DEADLY:
        mark = Path(os.environ[LOG] + ".mark")
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return slowly(image)


def hanging(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Hold everything, as a C library does that counts to infinity."""
    if image[0, 0, 0] == DEADLY:
        ctypes.PyDLL(None).sleep(60)
    return shrink(image)


def hanging_once(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if image[0, 0, 0] == DEADLY:
        mark = Path(os.environ[LOG] + ".mark")
        if not mark.exists():
            mark.touch()
            time.sleep(60)
    return shrink(image)


def leave_a_child(seconds: float) -> None:
    """Die, and leave a process behind that holds all that was open here."""
    if os.fork():
        os._exit(1)
    time.sleep(seconds)
    os._exit(0)


def meddling(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Take the photograph p010 away, and write another one in the place of p011, as soon as anything is baked."""
    source = Path(os.environ[LOG])
    (source / "p010.png").unlink(missing_ok=True)
    photograph(source / "p011.png", 11, height=50)
    return cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def greedy(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Take more and more memory."""
    taken = []
    while image[0, 0, 0] == DEADLY:
        taken.append(np.ones(1 << 20))
    return shrink(image)


def recipe(function=shrink, version: str = "1") -> Recipe:
    return Recipe.from_callable(function, name=function.__name__, version=version, size=SIZE)


def moody(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Do what other versions of libraries may: give other pixels, or none, from the same photograph; or never end."""
    if (mood := os.environ.get(MOOD)) == "bad":
        raise ValueError("in no mood")
    if mood in ("hang", "take"):
        return {"hang": hanging, "take": greedy}[mood](image)
    return shrink(image) + np.uint8(mood or 0)
