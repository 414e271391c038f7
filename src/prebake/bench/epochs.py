"""Epochs as they really run, each way: the loader, its processes or threads, and the step of the model."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from prebake.bench import published
from prebake.interrupts import deaf_children
from prebake.loader import Loader
from prebake.models import build_model
from prebake.store import open_pack

if TYPE_CHECKING:
    from prebake.augment import Augment

__all__ = ["OldLoading", "Step", "load_prebake"]

AHEAD = 2  # batches that prebake's loader prepares ahead, its default


class Step:
    """The step that every way takes with the same model: forward, loss, backward, optimizer.

    Parameters
    ----------
    model
        Any name of timm; its first weights are random.
    size
        Side of the images.
    device
        ``"cuda"`` or ``"cpu"``. On CUDA the precision is mixed, as :func:`prebake.fit` has it.

    Attributes
    ----------
    mean, std
        What the model's images are normalised with.
    """

    def __init__(self, model: str, size: int, device: str) -> None:
        built, data = build_model(model, "none", image_size=size)
        self.device, self.mean, self.std = torch.device(device), data.mean, data.std
        self._model = built.to(self.device).to(memory_format=torch.channels_last).train()
        self._optimizer = torch.optim.AdamW(self._model.parameters(), lr=1e-3)

    def __call__(self, images: Tensor) -> None:
        """Learn from float32 (B, 3, H, W)."""
        images = images.to(self.device, memory_format=torch.channels_last, non_blocking=True)
        with torch.autocast(self.device.type, torch.float16, enabled=self.device.type == "cuda"):
            raw = self._model(images).squeeze(1)
        loss = nn.functional.mse_loss(raw.float(), torch.zeros(len(images), device=self.device))
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()

    def alone(self, batch_size: int, size: int, count: int) -> float:
        """Return the seconds for each photograph where the images are there already."""
        images = torch.randn(batch_size, 3, size, size, device=self.device)
        images = images.contiguous(memory_format=torch.channels_last)
        steps = max(1, count // batch_size)
        _finish()
        start = time.perf_counter()
        for _ in range(steps):
            self(images)
        _finish()
        return (time.perf_counter() - start) / (steps * batch_size)


class _Draws:
    """The batches of the next pass, as lists of positions: what a DataLoader takes as its ``batch_sampler``."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)


class OldLoading:
    """Both old ways, in the worker processes of one DataLoader, which stay between the passes.

    Parameters
    ----------
    paths
        The photographs.
    packed
        The file that :func:`prebake.bench.published.pack` made of them.
    size, normalisation
        Side of the images in pixels; mean and std.
    workers
        Processes.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        packed: Path,
        *,
        size: int,
        normalisation: tuple[Sequence[float], Sequence[float]],
        workers: int,
    ) -> None:
        self._count, self._workers, self._draws, self._folder = len(paths), workers, _Draws(), packed.parent
        transform = published.transforms(*normalisation)
        photographs: Any = published.PhotographDataset(paths, size, transform)
        ids = [path.stem for path in paths]
        packed_images: Any = published.PublishedDataset(packed, ids, torch.zeros(len(ids)).numpy(), transform)
        self._loader: torch.utils.data.DataLoader[Any] = torch.utils.data.DataLoader(
            torch.utils.data.ConcatDataset([photographs, packed_images]),
            batch_sampler=self._draws,
            num_workers=workers,
            persistent_workers=True,
            pin_memory=torch.cuda.is_available(),
            multiprocessing_context="spawn",
        )

    def start(self) -> None:
        """Start the processes, and let each fetch an image of both kinds.

        They are ended, where that is asked, without removing what they have for sockets: it lies beside the file.
        """
        with deaf_children(), _temporary_files_in(self._folder):
            self._pass([[0, self._count]] * 2 * self._workers, None, 1, 0)

    def photographs(self, count: int, step: Step, batch_size: int) -> float:
        """Return the seconds for each photograph of an epoch that decodes and preprocesses them.

        The processes fetch fewer at a time than the model takes, so that a small sample keeps all of them busy; the
        model gets whole batches.
        """
        few = max(1, batch_size // (4 * self._workers))
        return self._pass(self._batches(count + batch_size + self._ahead * few, few, 0), step, batch_size, count)

    def published(self, count: int, step: Step | None, batch_size: int) -> float:
        """Return the seconds for each photograph of an epoch that reads the published file; or without the step."""
        more = 0 if step is None else (1 + self._ahead) * batch_size
        return self._pass(self._batches(count + more, batch_size, self._count), step, batch_size, count)

    def close(self) -> None:
        """End the processes."""
        del self._loader

    def _batches(self, count: int, batch_size: int, first: int) -> list[list[int]]:
        positions = [first + place % self._count for place in range(count)]
        return [positions[start : start + batch_size] for start in range(0, count, batch_size)]

    @property
    def _ahead(self) -> int:
        """How many batches a DataLoader has under way: so many come after what is measured, for it to stay busy."""
        return 2 * self._workers

    def _pass(self, batches: list[list[int]], step: Step | None, batch_size: int, count: int) -> float:
        self._draws.batches = batches
        images = (images for images, _ in self._loader)
        seconds = _alone(images) if step is None else _with_step(images, step, batch_size, count)
        for _ in images:  # what is under way yet, so that the processes are free for what comes next
            pass
        return seconds


@contextlib.contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Have processes that are started in the block keep in a folder what is temporary."""
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(folder)
    try:
        yield
    finally:
        del os.environ["TMPDIR"]
        if before is not None:
            os.environ["TMPDIR"] = before


def load_prebake(
    pack: Path, count: int, augment: Augment, *, batch_size: int, threads: int, device: str
) -> Callable[[Step | None], float]:
    """Return what makes one pass and gives the seconds for each of ``count`` images; a small pack comes several times.

    On CUDA the images are warped there, as in training.
    """
    on_device = device == "cuda"
    more = count + (1 + max(AHEAD, threads)) * batch_size
    loader = Loader(
        [pack] * math.ceil(more / len(open_pack(pack))),
        batch_size,
        rows=range(more),
        shuffle=True,
        augment=augment,
        threads=threads,
        prefetch=AHEAD,
        channels_last=not on_device,
        device_augment=on_device,
    )

    def one_pass(step: Step | None) -> float:
        with loader:
            images: Iterator[Tensor] = (
                augment.apply_torch(batch[0].to(device, non_blocking=True), batch[2]) if on_device else batch[0]
                for batch in loader
            )
            return _alone(images) if step is None else _with_step(images, step, batch_size, count)

    return one_pass


def _alone(batches: Iterator[Tensor]) -> float:
    """Take all batches and return the seconds for each image."""
    start, count = time.perf_counter(), 0
    for images in batches:
        count += len(images)
    _finish()
    return (time.perf_counter() - start) / count


def _with_step(batches: Iterator[Tensor], step: Step, batch_size: int, count: int) -> float:
    """Return the seconds for each image between the end of a step and the end of one that is ``count`` images later.

    What prepares images works all the time meanwhile, beside the steps, as it does in the middle of an epoch.
    Small batches are put together.
    """
    held: list[Tensor] = []
    learned, start = -1, 0.0
    for images in batches:
        held.append(images)
        if sum(map(len, held)) < batch_size:
            continue
        step(torch.cat(held) if len(held) > 1 else images)
        if learned < 0:
            _finish()
            learned, start = 0, time.perf_counter()
        else:
            learned += sum(map(len, held))
        held.clear()
        if learned >= count:
            break
    _finish()
    return (time.perf_counter() - start) / learned


def _finish() -> None:
    """Wait until a GPU has done all it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
