"""The Loader: shuffled batches by threads."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import weakref
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from prebake.augment import Augment, import_torch
from prebake.errors import OptionError
from prebake.files import digest
from prebake.loader.ahead import BatchMemory, ReadAhead, in_order
from prebake.loader.checked import CheckedPacks, Verify
from prebake.loader.joined import choose_rows
from prebake.loader.order import QuasiRandom, quasi_shuffled, rank_share, shuffled, step_bounds
from prebake.machine import usable_cores

if TYPE_CHECKING:
    from types import TracebackType

    import torch

    from prebake.store import Packs

    Batch = tuple[torch.Tensor, ...]

__all__ = ["Loader"]

MOST_THREADS = 8  # that read, unless more are asked for
READ_AHEAD = 8  # batches that the disk is asked for at a time, where rows are far apart


class Loader:
    """Batches out of one or several packs, prepared by threads ahead of their use.

    The order of an epoch, and the augmentation of every row in it, are functions of (seed, epoch, row): batches are the
    same for any number of threads, and an interrupted epoch goes on exactly where it was.

    Iterating anew is the next epoch, when at least one batch of the current one was taken; :meth:`set_epoch` chooses.
    Nothing happens before the first batch is asked for. Several iterations may go on at the same time;
    :meth:`state_dict` is about the one that began last.

    Parameters
    ----------
    packs
        A pack, its path or a pattern (``"eyes-*.h5"``); or several, which are then one: the rows of the second follow
        those of the first. They must have been baked with the same recipe.
    batch_size
        Rows in a batch of one rank. The last batch may be smaller.
    rows
        The rows to use: numbers, or a mask with one bool for each row of all packs. All by default.
    shuffle
        Whether every epoch has its own random order; else the order of ``rows``. A
        :class:`~prebake.loader.QuasiRandom` is nearly as random, and much faster from a slow disk.
    seed
        0 ... 2**64 - 1.
    augment
        What to do to every image. Without it, batches are the uint8 images as they are in the pack.
    rank, world_size
        This process is number ``rank`` of ``world_size`` that train together. In every epoch each row goes to exactly
        one rank, all ranks take the same number of steps, and rows of one step are those that a single process with
        ``batch_size * world_size`` would take. Where the last step has fewer rows than there are ranks, they go to the
        step before, in batches of ``batch_size + 1``.
    drop_last
        Leave out what does not fill a step of all ranks.
    threads
        By default one for each processor this process may use, at most 8.
    prefetch
        Batches prepared ahead, at least one for each thread. More of them leave the processor's cache.
    pin_memory
        Whether batches lie in page-locked memory, from where a GPU copies faster. By default when there is CUDA.
    device_augment
        Leave the augmentation to the consumer: batches are uint8 images, labels, and the matrices for
        :meth:`prebake.augment.Augment.apply_torch`, to be called on the device.
    channels_last
        Whether normalised batches lie in memory as (B, H, W, C): the fastest layout for convolutions on most
        processors. The shape stays (B, C, H, W).
    with_rows
        Append the row numbers to every batch, int64 (B,); :meth:`ids` turns them into ids.
    verify
        Compare images with their checksums in the threads that read them: ``True`` all, ``"first"`` each row when this
        loader reads it for the first time, so only in the first epoch. A damaged image raises; it is never handed over.

    Yields
    ------
    ``(images, labels)``: uint8 (B, H, W, C), or with ``augment`` float32 (B, C, H, W) normalised; and float32 (B,), NaN
    where a label is missing. With ``device_augment`` then float64 (B, 2, 3); with ``with_rows`` last int64 (B,).
    A batch belongs to the consumer: its memory is used again only after the last reference to it is gone.

    Raises
    ------
    MissingExtra
        PyTorch is not installed.
    RecipeMismatch
        Two packs were baked with different recipes.
    PackDamaged
        While iterating: an image cannot be read, or does not match its checksum; it is named.
    OptionError
        A value that cannot be used; or ``verify``, and a pack has no checksums.

    Examples
    --------
    >>> with Loader(["2015.h5", "2019.h5"], batch_size=32, shuffle=True, seed=1) as loader:  # doctest: +SKIP
    ...     for images, labels in loader:
    ...         pass
    """

    def __init__(  # noqa: PLR0913 - the options of one loader, all by name
        self,
        packs: Packs,
        batch_size: int = 32,
        *,
        rows: npt.ArrayLike | None = None,
        shuffle: bool | QuasiRandom = False,
        seed: int = 0,
        augment: Augment | None = None,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = False,
        threads: int | None = None,
        prefetch: int = 2,
        pin_memory: bool | None = None,
        device_augment: bool = False,
        channels_last: bool = False,
        with_rows: bool = False,
        verify: Verify = False,
    ) -> None:
        torch = import_torch()
        self._packs = CheckedPacks(packs, verify)
        self.rows = choose_rows(rows, len(self._packs))
        self.batch_size, self.shuffle, self.seed, self.augment = batch_size, shuffle, seed, augment
        self.rank, self.world_size, self.drop_last = rank, world_size, drop_last
        self.threads = min(MOST_THREADS, usable_cores()) if threads is None else threads
        self.prefetch = prefetch
        self.pin_memory = bool(torch.cuda.is_available()) if pin_memory is None else pin_memory
        self.device_augment, self.channels_last, self.with_rows = device_augment, channels_last, with_rows
        self._check()
        self._epoch = 0  # of the iteration that began last
        self._offset = 0  # how far it has come: positions of the epoch, of all ranks together
        self._next: tuple[int, int] | None = None  # where the next iteration begins, if told
        self._newest: object = None
        self._memory = self._new_memory()
        self._running: weakref.WeakSet[Generator[Batch, None, None]] = weakref.WeakSet()

    def _check(self) -> None:
        for name, low, high in (
            ("batch_size", 1, None),
            ("seed", 0, 2**64 - 1),
            ("world_size", 1, None),
            ("rank", 0, self.world_size - 1),
            ("threads", 1, None),
            ("prefetch", 1, None),
        ):
            value = getattr(self, name)
            if value < low or (high is not None and value > high):
                wanted = f"at least {low}" if high is None else f"{low} ... {high}"
                raise OptionError(f"loader: {name} out of range", expected=wanted, got=value)
        if 0 < len(self.rows) < self.world_size and not self.drop_last:
            raise OptionError(
                "loader: fewer rows than ranks", expected=f"at least {self.world_size} rows", got=len(self.rows)
            )
        if self.augment is not None and len(self.augment.mean) != self.shape[2]:
            raise OptionError(
                "loader: the augmentation has other channels than the images",
                expected=f"{self.shape[2]} values of mean and std",
                got=len(self.augment.mean),
            )
        if self.device_augment and self.augment is None:
            raise OptionError("loader: device_augment needs augment", do="Loader(..., augment=Augment(...))")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the images."""
        return self._packs.shape

    @property
    def labels(self) -> npt.NDArray[np.float32]:
        """The labels of :attr:`rows`, in that order; NaN where missing."""
        return self._packs.labels[self.rows]

    @property
    def sampler(self) -> Self:
        """The loader itself: where Lightning looks for ``set_epoch``, which it calls before every epoch."""
        return self

    @property
    def batch_sampler(self) -> None:
        """Nothing; Lightning looks here where it found :attr:`sampler`."""
        return

    def ids(self, rows: Iterable[int]) -> list[str]:
        """Return the ids of rows, as batches give them where ``with_rows`` is set."""
        return [self._packs.id_of(int(row)) for row in rows]

    def __len__(self) -> int:
        """Return the number of batches in a whole epoch; the same on every rank."""
        return max(0, len(self._bounds(0)) - 1)

    def _bounds(self, start: int) -> list[int]:
        return step_bounds(start, len(self.rows), self.batch_size, self.world_size, drop_last=self.drop_last)

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration epoch ``epoch``; keeps a position within that epoch that was loaded before."""
        if not 0 <= epoch < 2**32:
            raise OptionError("loader: epoch out of range", expected="0 ... 2**32 - 1", got=epoch)
        if self._next is None or self._next[0] != epoch:
            self._next = (epoch, 0)

    def state_dict(self) -> dict[str, int | str | bool]:
        """Return where the consumer is: it counts the batches that were handed over, not those prepared ahead.

        The state is the same on all ranks, and may be loaded with another number of ranks, threads or another batch
        size.
        """
        epoch, offset = self._next or (self._epoch, self._offset)
        if offset and not self._bounds(offset):
            epoch, offset = epoch + 1, 0
        return {"epoch": epoch, "offset": offset, **self._identity()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Make the next iteration go on where :meth:`state_dict` was taken, with exactly the batches that were left.

        Raises
        ------
        OptionError
            The state is of another seed, order or set of rows; or fewer rows are left of the epoch than ranks.
        """
        for name, mine in self._identity().items():
            if state.get(name) != mine:
                raise OptionError(
                    f"loader: the state was taken with another {name}", expected=mine, got=state.get(name)
                )
        epoch, offset = int(state["epoch"]), int(state["offset"])
        if not 0 <= offset <= len(self.rows) or not 0 <= epoch < 2**32:
            raise OptionError("loader: not a position in an epoch", got=f"epoch {epoch}, offset {offset}")
        left = len(self.rows) - offset
        if 0 < left < self.world_size and not self.drop_last:
            raise OptionError(
                f"loader: {left} rows are left of epoch {epoch}, fewer than ranks",
                do="resume with as many ranks as before, or begin the next epoch with set_epoch",
            )
        self._next = (epoch, offset)

    def _identity(self) -> dict[str, int | str | bool]:
        """Return what must be the same for a state to have a meaning."""
        order = str(self.shuffle) if isinstance(self.shuffle, QuasiRandom) else self.shuffle
        rows = digest(np.ascontiguousarray(self.rows, dtype="<i8").tobytes())
        return {"seed": self.seed, "shuffle": order, "packed_rows": len(self._packs), "rows": rows}

    def __iter__(self) -> Iterator[Batch]:
        iteration = self._iterate()
        self._running.add(iteration)
        return iteration

    def close(self) -> None:
        """End all iterations and their threads."""
        for iteration in list(self._running):
            iteration.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_running": None, "_newest": None, "_memory": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._running = weakref.WeakSet()
        self._memory = self._new_memory()

    def _begin(self) -> tuple[int, int]:
        """Decide epoch and offset of an iteration that begins."""
        epoch, offset = self._next or ((self._epoch + 1, 0) if self._offset else (self._epoch, 0))
        if offset and not self._bounds(offset):
            epoch, offset = epoch + 1, 0
        self._epoch, self._offset, self._next = epoch, offset, None
        return epoch, offset

    def _iterate(self) -> Generator[Batch, None, None]:
        if self._process != os.getpid():  # forked, maybe while a thread that is not here held the memory's lock
            self._memory = self._new_memory()
        epoch, offset = self._begin()
        mark = self._newest = object()
        order, windows = self._order(epoch)
        steps = list(itertools.pairwise(self._bounds(offset)))
        shares = [order[rank_share(*step, self.rank, self.world_size)] for step in steps]
        horizons = _horizons([start for start, _ in steps], windows)
        load = functools.partial(self._load, epoch, ReadAhead(self._packs.advise, shares, horizons))
        batches = in_order(load, iter(enumerate(shares)), threads=self.threads, depth=self._depth)
        with contextlib.closing(batches):
            for (_, stop), batch in zip(steps, batches, strict=True):
                if self._newest is mark:
                    self._offset = stop
                yield batch

    def _order(self, epoch: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the rows in the order of an epoch, and the positions that end what is read from the disk together."""
        if isinstance(self.shuffle, QuasiRandom):
            return quasi_shuffled(self.rows, self.seed, epoch, self.shuffle)
        together = READ_AHEAD * self.batch_size * self.world_size
        order = shuffled(self.rows, self.seed, epoch) if self.shuffle else self.rows
        return order, np.arange(together, len(order) + together, together)

    @property
    def _depth(self) -> int:
        """How many batches are prepared ahead."""
        return max(self.prefetch, self.threads)

    def _new_memory(self) -> BatchMemory:
        self._process = os.getpid()
        height, width, channels = self.shape
        size = self.batch_size + (self.world_size > 1)  # see step_bounds
        keep = self._depth + 3  # ahead, in the hands of the consumer, and on the way
        if self.augment is None or self.device_augment:
            return BatchMemory((size, height, width, channels), np.uint8, pinned=self.pin_memory, keep=keep)
        shape = (size, height, width, channels) if self.channels_last else (size, channels, height, width)
        return BatchMemory(shape, np.float32, pinned=self.pin_memory, keep=keep)

    def _load(self, epoch: int, ahead: ReadAhead, task: tuple[int, npt.NDArray[np.int64]]) -> Batch:
        """Prepare one batch; runs in threads."""
        torch = import_torch()
        step, rows = task
        images, pixels = self._memory.take()
        images, pixels = images[: len(rows)], pixels[: len(rows)]
        extras = [torch.from_numpy(rows.copy())] if self.with_rows else []
        with ahead.reading(step):
            if self.augment is None:
                self._packs.read(rows, pixels)
            else:
                matrices = self.augment.parameters(self.seed, epoch, rows, self.shape)
                if self.device_augment:
                    self._packs.read(rows, pixels)
                    extras.insert(0, torch.from_numpy(matrices))
                else:
                    if self.channels_last:
                        images, pixels = images.permute(0, 3, 1, 2), pixels.transpose(0, 3, 1, 2)
                    image = np.empty(self.shape, np.uint8)
                    for row, matrix, out in zip(rows, matrices, pixels, strict=True):
                        self._packs.read_into(row, image)
                        self.augment.apply_numpy(image, matrix, out)
        return images, torch.from_numpy(self._packs.labels[rows]), *extras


def _horizons(starts: Sequence[int], windows: npt.NDArray[np.int64]) -> list[int]:
    """Return, for each batch by its first position, how many batches begin before the end of the window after its own.

    Examples
    --------
    >>> _horizons([0, 2, 4, 6, 8], np.array([4, 8, 10]))
    [4, 4, 5, 5, 5]
    """
    after = np.searchsorted(windows, starts, side="right") + 1
    found: list[int] = np.searchsorted(starts, windows[np.minimum(after, len(windows) - 1)]).tolist()
    return found
