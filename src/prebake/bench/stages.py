"""What each stage takes on one core, photograph by photograph. Runs in a process of its own that uses one thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import cv2
import numpy as np

from prebake.bench import published
from prebake.records import Failure
from prebake.store import open_pack

if TYPE_CHECKING:
    from prebake.augment import Augment
    from prebake.recipe import Recipe
    from prebake.records import Sample

__all__ = ["BAKING", "of_pack", "of_photograph", "of_published", "use_one_thread"]

BAKING = "bake"
PASSES = 3
T = TypeVar("T")


def use_one_thread() -> None:
    """Make OpenCV of this process use one thread; also shows that the process is there."""
    cv2.setNumThreads(1)


def of_photograph(sample: Sample, path: Path, recipe: Recipe) -> dict[str, float] | Failure:
    """Time what becomes of a photograph.

    Returns
    -------
    Seconds of ``read``, ``decode`` and ``preprocess`` as in 2019, and of all of prebake's recipe as ``bake``; or why it
    cannot be done.
    """
    try:
        start = time.perf_counter()
        data = path.read_bytes()
        read = time.perf_counter()
        bgr: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        image: Any = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        decoded = time.perf_counter()
        published.bake(image, recipe.size)
        preprocessed = time.perf_counter()
        recipe.bake(data)
        baked = time.perf_counter()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a recipe of the user may raise whatever it likes
        return Failure.of(sample, error)
    return {
        "read": read - start,
        "decode": decoded - read,
        "preprocess": preprocessed - decoded,
        BAKING: baked - preprocessed,
    }


def of_published(
    pack: Path, ids: Sequence[str], normalisation: tuple[Sequence[float], Sequence[float]]
) -> dict[str, float]:
    """Time the Dataset of 2019: ``read`` (and inflate), ``augment`` by PIL transforms, ``copy`` into a batch."""
    import torch  # noqa: PLC0415 - not called without
    from PIL import Image  # noqa: PLC0415

    torch.set_num_threads(1)
    dataset = published.PublishedDataset(pack, ids, np.zeros(len(ids), np.float32))
    transform = published.transforms(*normalisation)
    images = [dataset[index][0] for index in range(len(ids))]
    made: list[Any] = [transform(Image.fromarray(image)) for image in images]
    return {
        "read": _seconds(lambda index: dataset[index], range(len(ids))),
        "augment": _seconds(lambda image: transform(Image.fromarray(image)), images),
        "copy": _seconds(torch.utils.data.default_collate, [made]) / len(made),
    }


def of_pack(pack: Path, rows: Sequence[int], augment: Augment) -> dict[str, float]:
    """Time what prebake's loader does: ``read`` (copy or decode), ``augment`` straight into the batch."""
    opened = open_pack(pack)
    height, width, channels = opened.shape
    image = np.empty(opened.shape, np.uint8)
    batch = np.empty((height, width, channels), np.float32).transpose(2, 0, 1)
    matrices = augment.parameters(0, 0, list(rows), opened.shape)
    return {
        "read": _seconds(lambda row: opened.read_into(row, image), rows),
        "augment": _seconds(lambda matrix: augment.apply_numpy(image, matrix, batch), list(matrices)),
    }


def _seconds(work: Callable[[T], object], things: Sequence[T]) -> float:
    """Return the seconds for each thing, the median of a few passes after one that does not count."""
    taken = []
    for _ in range(1 + PASSES):
        start = time.perf_counter()
        for thing in things:
            work(thing)
        taken.append((time.perf_counter() - start) / len(things))
    return sorted(taken[1:])[PASSES // 2]
