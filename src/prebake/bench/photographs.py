"""The sample: photographs that can be read and baked, what each stage of them takes, and the names of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prebake.bench.sampling import fetch
from prebake.bench.stages import of_photograph, use_one_thread
from prebake.errors import SourceError
from prebake.packing.local import LocalPool
from prebake.records import Failure, Sample

if TYPE_CHECKING:
    from prebake.recipe import Recipe

__all__ = ["Photographs", "time_photographs"]


@dataclass(frozen=True)
class Photographs:
    """The sample.

    Parameters
    ----------
    paths
        Where the photographs lie for the time of the benchmark.
    stages
        Mean seconds of each stage on one core, see :func:`prebake.bench.stages.of_photograph`.
    failures
        What cannot be read or baked.
    """

    paths: tuple[Path, ...]
    stages: dict[str, float]
    failures: tuple[Failure, ...]


def time_photographs(
    samples: Sequence[Sample], recipe: Recipe, folder: Path, tick: Callable[[], object]
) -> Photographs:
    """Time the stages of every photograph, one after the other, in a process of its own.

    Parameters
    ----------
    samples
        The photographs.
    recipe
        What prebake does with them.
    folder
        Is made, and filled with them.
    tick
        Is called after each.

    Raises
    ------
    SourceError
        None of them can be baked.
    """
    folder.mkdir()
    paths: list[Path] = []
    timed: list[dict[str, float]] = []
    failures: list[Failure] = []
    pool = _pool()
    try:
        for number, sample in enumerate(samples):
            try:
                path = fetch(sample, folder, number)
                task = (sample, path, recipe)
                if not timed:
                    pool.submit(of_photograph, *task).result()  # the first one loads the decoders
                found = pool.submit(of_photograph, *task).result()
            except SourceError as error:
                found = Failure.of(sample, error)
            except BrokenExecutor:
                found = Failure(sample.id, sample.path, "the process that decodes it dies")
                pool.submit(use_one_thread).result()
            if isinstance(found, Failure):
                failures.append(found)
            else:
                paths.append(path)
                timed.append(found)
            tick()
    finally:
        pool.kill()
    if not timed:
        raise SourceError(
            f"none of the {len(samples)} photographs of the sample can be baked",
            got="; ".join(f"{failure.id} ({failure.path}): {failure.reason}" for failure in failures[:3]),
            do="prebake pack names all that cannot be baked",
        )
    means = {name: sum(times[name] for times in timed) / len(timed) for name in timed[0]}
    return Photographs(tuple(paths), means, tuple(failures))


def _pool() -> LocalPool:
    pool = LocalPool(1)
    pool.submit(use_one_thread).result()
    return pool
