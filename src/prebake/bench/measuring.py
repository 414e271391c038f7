"""The whole benchmark: choose a sample, time its stages, pack it and train on it each way, in turn."""

from __future__ import annotations

import importlib.util
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prebake.augment import Augment
from prebake.bench.codecs import codec_speeds
from prebake.bench.disk import cold_speed
from prebake.bench.packs import PackBoth
from prebake.bench.photographs import Photographs, time_photographs
from prebake.bench.result import BenchResult, Disk, Spread, Way
from prebake.bench.rounds import ROUNDS, at_least, in_turn
from prebake.bench.sampling import choose, lay_out
from prebake.bench.stages import BAKING, of_pack, of_published, use_one_thread
from prebake.bench.surroundings import machine, versions
from prebake.errors import OptionError
from prebake.files import scratch_folder
from prebake.machine import usable_cores
from prebake.memory import kept_memory
from prebake.packing import CodecChoice, CodecFacts, PackOptions, choose_codec
from prebake.packing.local import LocalPool
from prebake.packing.probe import machine_memory, measured
from prebake.progress import Progress
from prebake.progress import progress as progress_bar
from prebake.sources import scan
from prebake.store import is_pack, open_pack

if TYPE_CHECKING:
    import os

    import numpy as np
    from numpy.typing import NDArray

    from prebake.bench.epochs import Step
    from prebake.recipe import Recipe

__all__ = ["measure"]

NEEDED = ("torch", "torchvision", "timm", "safetensors")
MOST_WORKERS = 8


def measure(  # noqa: PLR0913 - one keyword for each option of the command line
    source: str | os.PathLike[str],
    *,
    recipe: Recipe | str = "kernel",
    size: int | None = None,
    photographs: int = 32,
    model: str = "efficientnet_b0",
    batch_size: int = 32,
    workers: int | None = None,
    progress: bool = True,
) -> BenchResult:
    """Measure where an epoch's time goes, and what packing brings, on one's own photographs and machine.

    A sample of the photographs is packed and trained on in three ways: decoding and preprocessing them in every epoch,
    as in 2019; from a file packed as published in 2019; with prebake. All three end in the same step of the same model,
    have as many processes, and are measured in turn, in two to five rounds, as many as end within two and a half
    minutes. What all photographs take is reckoned from that, in proportion to their number.

    Parameters
    ----------
    source
        A folder, .zip or .tar file of photographs. Or a pack: then only prebake's loading is measured.
    recipe, size
        As in :func:`prebake.pack`. The two old ways do the published preprocessing whatever the recipe.
    photographs
        How many are measured, evenly spread over the source.
    model
        Any model of timm; its weights are random.
    batch_size
        Photographs in one step.
    workers
        Processes that pack and load, and threads of prebake's loader; all usable cores without it, at most 8.
    progress
        Whether to show progress (on a terminal only).

    Returns
    -------
    BenchResult
        Everything that was measured; without torch, that is packing, codecs and stages, and a note says so.

    Raises
    ------
    OptionError, RecipeError
        An option cannot be used.
    SourceError
        The source cannot be read, or none of the sample can be baked.
    PackError
        The pack cannot be opened.
    """
    processes = min(MOST_WORKERS, usable_cores()) if workers is None else workers
    options = _Options(photographs, model, batch_size, processes, progress)
    start = time.perf_counter()
    with scratch_folder("bench") as scratch, ExitStack() as stack:
        missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
        if is_pack(source):
            with open_pack(source) as pack:  # what a URL means is fetched here, once
                local = pack.path
            found = _measure_pack(local, options, missing)
        else:
            chosen = PackOptions(recipe=recipe, size=size, workers=workers).load_recipe()
            found = _Bench(options, chosen, scratch, stack, missing).run(source)
    return BenchResult(
        source=str(source),
        batch_size=batch_size,
        workers=options.workers,
        seconds=time.perf_counter() - start,
        machine=machine(),
        versions=versions(),
        **found,
    )


@dataclass(frozen=True)
class _Options:
    """What :func:`measure` is told, apart from the source and the recipe."""

    photographs: int
    model: str
    batch_size: int
    workers: int
    progress: bool

    def __post_init__(self) -> None:
        for name in ("photographs", "batch_size", "workers"):
            if getattr(self, name) < 1:
                raise OptionError(name, expected="at least 1", got=getattr(self, name))

    def bar(self, what: str, total: int) -> Progress:
        return progress_bar(what, total, unit="step", enabled=self.progress)


class _Bench:
    """A benchmark of photographs.

    Parameters
    ----------
    options, recipe
        What was asked for.
    scratch
        A folder that is removed afterwards.
    stack
        Ends what was started.
    missing
        Packages without which nothing can be trained.
    """

    def __init__(self, options: _Options, recipe: Recipe, scratch: Path, stack: ExitStack, missing: list[str]) -> None:
        self.options, self.recipe, self.scratch, self.stack, self.missing = options, recipe, scratch, stack, missing

    def run(self, source: str | os.PathLike[str]) -> dict[str, Any]:
        """Measure, and return the fields of the result."""
        samples = scan(source)
        chosen = choose(samples, self.options.photographs)
        disk = Disk(sum(sample.size for sample in samples), machine_memory(), cold_speed(chosen))
        step = None if self.missing else _step(self.options.model, self.recipe.size)
        with self.options.bar("timing each stage", len(chosen)) as bar:
            sample = time_photographs(chosen, self.recipe, self.scratch / "photographs", bar.update)
        images, choice = self._bake_once(sample, len(samples))
        arms, stages, start = self._arms(sample, choice, step)
        with self.options.bar("measuring in turn", len(arms) * ROUNDS) as bar, kept_memory():
            spreads = in_turn(arms, bar)
        return {
            "count": len(samples),
            "sampled": len(sample.paths),
            "left_out": sample.failures,
            "recipe": self.recipe.name,
            "size": self.recipe.size,
            "codec": choice.codec,
            "codec_reason": choice.reason,
            **_of_model(self.options, step),
            "ways": tuple(_way(name, stages[name], spreads, start) for name in stages),
            "step": spreads.get("step"),
            "codecs": codec_speeds(images),
            "disk": disk,
            "notes": _notes(self.missing),
        }

    def _bake_once(self, sample: Photographs, count: int) -> tuple[NDArray[np.uint8], CodecChoice]:
        """Start the processes that pack, bake the sample and choose the codec for all photographs."""
        self.both = PackBoth(self.recipe, self.options.workers)
        self.stack.callback(self.both.close)
        links, target = self.scratch / "sample", self.scratch / "sample.h5"
        lay_out(sample.paths, links, len(sample.paths))
        self.both.pack_prebake(links, target, "raw")
        with open_pack(target) as pack:
            images = pack.read(slice(None))
        return images, _choice(images, count)

    def _arms(
        self, sample: Photographs, choice: CodecChoice, step: Step | None
    ) -> tuple[dict[str, Callable[[], float]], dict[str, dict[str, float]], float]:
        """Return what is measured in turn, by way and kind; the stages by way; the start of the processes."""
        workers, count = self.options.workers, len(sample.paths)
        old = {name: seconds for name, seconds in sample.stages.items() if name != BAKING}
        many = at_least(count, sum(old.values()) / workers)
        old_links = lay_out(sample.paths, self.scratch / "old", many)
        many_new = at_least(count, sample.stages[BAKING] / workers)
        new_links = self.scratch / "new"
        lay_out(sample.paths, new_links, many_new)
        published, prebake = self.scratch / "published.h5", self.scratch / "prebake.h5"
        self.both.pack_published(old_links[:count], published)
        self.both.pack_prebake(self.scratch / "sample", prebake, choice.codec)
        again = self.scratch / "again.h5"
        arms: dict[str, Callable[[], float]] = {
            "published packing": lambda: self.both.pack_published(old_links, again),
            "prebake packing": lambda: self.both.pack_prebake(new_links, again, choice.codec),
        }
        stages: dict[str, dict[str, float]] = {"photographs": old, "published": {}, "prebake": {}}
        mean_std = ((0.5,) * 3, (0.5,) * 3) if step is None else (step.mean, step.std)
        augment = Augment.kernel(self.recipe.fill, *mean_std)
        with LocalPool(1) as pool:
            pool.submit(use_one_thread).result()
            stages["prebake"] = pool.submit(of_pack, prebake, range(count), augment).result()
            if step is not None:
                ids = [path.stem for path in old_links[:count]]
                stages["published"] = pool.submit(of_published, published, ids, mean_std).result()
                stages["photographs"] |= {name: stages["published"][name] for name in ("augment", "copy")}
        if step is not None:
            arms |= self._epoch_arms(old_links[:count], step, augment, stages)
        return arms, stages, self.both.start

    def _epoch_arms(
        self, paths: list[Path], step: Step, augment: Augment, stages: dict[str, dict[str, float]]
    ) -> dict[str, Callable[[], float]]:
        from prebake.bench.epochs import OldLoading  # noqa: PLC0415 - torch takes seconds to load

        batch, workers = self.options.batch_size, self.options.workers
        old = OldLoading(
            paths,
            self.scratch / "published.h5",
            size=self.recipe.size,
            normalisation=(step.mean, step.std),
            workers=workers,
        )
        self.stack.callback(old.close)
        old.start()

        def draws(way: str, model: Step | None) -> int:
            loading = sum(stages[way].values()) / workers
            return _whole_batches(at_least(len(paths), max(loading, taken if model else 0.0)), batch)

        taken = _taken(step, batch, self.recipe.size)
        arms: dict[str, Callable[[], float]] = {
            "photographs epoch": partial(old.photographs, draws("photographs", step), step, batch),
            "published epoch": partial(old.published, draws("published", step), step, batch),
            "published loading": partial(old.published, draws("published", None), None, batch),
        }
        return arms | _prebake_arms(self.scratch / "prebake.h5", step, augment, self.options, stages["prebake"], taken)


def _measure_pack(source: Path, options: _Options, missing: list[str]) -> dict[str, Any]:
    """Measure the loading of a pack, and return the fields of the result."""
    with open_pack(source) as pack:
        if pack.shape[0] != pack.shape[1] or pack.shape[2] != 3 or not len(pack):
            raise OptionError(
                f"{source} cannot be trained on", expected="square images, RGB", got=(len(pack), *pack.shape)
            )
        rows = choose(range(len(pack)), options.photographs)
        images, size, recipe, fill = pack.read(rows), pack.shape[0], pack.recipe, pack.fill
        count, stored = len(pack), pack.codec
    step = None if missing else _step(options.model, size)
    augment = Augment.kernel(fill, *(((0.5,) * 3, (0.5,) * 3) if step is None else (step.mean, step.std)))
    with LocalPool(1) as pool:
        pool.submit(use_one_thread).result()
        stages = pool.submit(of_pack, source, rows, augment).result()
    spreads: dict[str, Spread] = {}
    if step is not None:
        taken = _taken(step, options.batch_size, size)
        arms = _prebake_arms(source, step, augment, options, stages, taken)
        with options.bar("measuring in turn", len(arms) * ROUNDS) as bar, kept_memory():
            spreads = in_turn(arms, bar)
    choice = _choice(images, count)
    note = f"the source is a pack ({stored}): only loading is measured; give the photographs to compare with them"
    return {
        "count": count,
        "sampled": len(rows),
        "left_out": (),
        "recipe": "unknown" if recipe is None else recipe.name,
        "size": size,
        "codec": choice.codec,
        "codec_reason": choice.reason,
        **_of_model(options, step),
        "ways": (_way("prebake", stages, spreads, 0.0),),
        "step": spreads.get("step"),
        "codecs": codec_speeds(images),
        "disk": None,
        "notes": (note, *_notes(missing)),
    }


def _step(model: str, size: int) -> Step:
    import torch  # noqa: PLC0415 - takes seconds to load

    from prebake.bench.epochs import Step  # noqa: PLC0415

    return Step(model, size, "cuda" if torch.cuda.is_available() else "cpu")


def _taken(step: Step, batch_size: int, size: int) -> float:
    """Warm up, and return about how many seconds the step takes for each photograph."""
    return [step.alone(batch_size, size, batch_size) for _ in range(3)][-1]


def _prebake_arms(
    pack: Path, step: Step, augment: Augment, options: _Options, stages: dict[str, float], taken: float
) -> dict[str, Callable[[], float]]:
    from prebake.bench.epochs import load_prebake  # noqa: PLC0415 - torch takes seconds to load

    batch, device = options.batch_size, step.device.type
    loading = sum(stages.values()) / options.workers
    few, many = (_whole_batches(at_least(batch, seconds), batch) for seconds in (max(loading, taken), loading))
    chosen: dict[str, Any] = {"batch_size": batch, "threads": options.workers, "device": device}
    train, load = load_prebake(pack, few, augment, **chosen), load_prebake(pack, many, augment, **chosen)
    size = open_pack(pack).shape[0]
    return {
        "prebake epoch": lambda: train(step),
        "prebake loading": lambda: load(None),
        "step": lambda: step.alone(batch, size, few),
    }


def _whole_batches(count: int, batch_size: int) -> int:
    return -(-count // batch_size) * batch_size


def _choice(images: NDArray[np.uint8], count: int) -> CodecChoice:
    """Choose the codec for all photographs as packing does, for a pack in the current folder."""
    folder = Path.cwd()
    facts = CodecFacts(count * images[0].nbytes, machine_memory(), shutil.disk_usage(folder).free)
    return choose_codec(measured(facts, list(images), folder) if facts.needs_measuring else facts)


def _way(name: str, stages: dict[str, float], spreads: dict[str, Spread], start: float) -> Way:
    kinds = {kind: spreads.get(f"{name} {kind}") for kind in ("epoch", "loading", "packing")}
    return Way(name, stages, **kinds, start=start if name == "prebake" else 0.0)


def _of_model(options: _Options, step: Step | None) -> dict[str, Any]:
    return {"model": None if step is None else options.model, "device": "cpu" if step is None else step.device.type}


def _notes(missing: list[str]) -> tuple[str, ...]:
    if not missing:
        return ()
    what = f"not installed: {', '.join(missing)}: epochs and the step of the model are not measured"
    return (f"{what}; pip install 'prebake[train]'",)
