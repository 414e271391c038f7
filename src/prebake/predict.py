"""Grades for photographs: one run or the mean of several, on a pack, a folder, an archive or a single photograph.

Photographs go through the run's own recipe, the very function that packing calls; packs must have been made with it.
Every batch is read (and baked) once, whatever the number of runs.
"""

from __future__ import annotations

import csv
import io
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from prebake.errors import MissingExtra, OptionError, PackFailures, PrebakeError, RecipeMismatch, RunError
from prebake.files import write_text
from prebake.metrics import grade
from prebake.progress import progress as progress_bar
from prebake.recipe import Recipe, require_same
from prebake.records import Failure, Sample
from prebake.runs import Run
from prebake.sources import read_bytes, scan
from prebake.store import Pack, open_pack

if TYPE_CHECKING:
    import pandas as pd
    import torch

__all__ = ["Predictions", "predict"]

Pathish = str | os.PathLike[str]
Pixels = npt.NDArray[np.uint8]
T = TypeVar("T")
U = TypeVar("U")

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Predictions:
    """One row for every photograph that could be read, in the order of the source.

    Parameters
    ----------
    ids
        The N ids, as packing names them.
    raw
        (N,) float32: what the model gives, or the mean over the runs; in grades, not cut off at either end.
    diagnosis
        (N,) int64: ``raw`` cut at the thresholds of the run.
    per_run
        (R, N) float32: the raw values of each run.
    failures
        The photographs that could not be read or baked (only with ``on_error="skip"``).
    """

    ids: tuple[str, ...]
    raw: npt.NDArray[np.float32]
    diagnosis: npt.NDArray[np.int64]
    per_run: npt.NDArray[np.float32]
    failures: tuple[Failure, ...] = ()

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ids)

    @property
    def spread(self) -> npt.NDArray[np.float32]:
        """(N,) float32: standard deviation between the runs (of the runs as they are, divided by R); 0 for one run."""
        return self.per_run.std(axis=0, dtype=np.float64).astype(np.float32)

    def table(self) -> pd.DataFrame:
        """Return columns ``id_code``, ``diagnosis``, ``raw``; of several runs also ``raw_1``, ..., ``spread``."""
        import pandas as pd  # noqa: PLC0415 - half a second that predicting itself does not need

        columns: dict[str, Any] = {"id_code": list(self.ids), "diagnosis": self.diagnosis, "raw": self.raw}
        if len(self.per_run) > 1:
            columns |= {f"raw_{number}": values for number, values in enumerate(self.per_run, start=1)}
            columns["spread"] = self.spread
        return pd.DataFrame(columns)

    def to_csv(self, path: Pathish, *, submission: bool = False) -> None:
        r"""Write the table as CSV: whole, or not at all.

        An id that a spreadsheet would run as a formula (it starts with ``=``, ``+``, ``-``, ``@``, tab or carriage
        return) gets a leading ``'``, which spreadsheets take as "this is text". A submission is read by a program
        that must find its ids again, so there ids stay as they are.

        Parameters
        ----------
        path
            The file to write; an existing one is replaced.
        submission
            Write exactly the two columns ``id_code,diagnosis``.
        """
        table = self.table()
        if submission:
            table = table[["id_code", "diagnosis"]]
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(table.columns)
        for row in table.itertuples(index=False, name=None):
            identity = row[0] if submission else _harmless(row[0])
            writer.writerow([identity, *(f"{x:.9g}" if isinstance(x, float) else str(x) for x in row[1:])])
        write_text(path, text.getvalue())


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell


@dataclass(frozen=True)
class _Member:
    """One run, loaded: its network on the device, and what its input is normalised with, (1, 3, 1, 1) each."""

    name: str
    network: torch.nn.Module
    mean: torch.Tensor
    std: torch.Tensor

    def raw(self, images: torch.Tensor) -> npt.NDArray[np.float32]:
        """Return (B,) raw values of (B, 3, H, W) float images in 0..1."""
        values: torch.Tensor = self.network((images - self.mean) / self.std)
        return values.float().reshape(len(images)).cpu().numpy()


@dataclass(frozen=True)
class _Batch:
    """Ids with their (B, H, W, 3) images, and what failed on the way to them."""

    ids: list[str]
    images: Pixels
    failures: list[Failure]


def predict(
    runs: Pathish | Run | Sequence[Pathish | Run],
    source: Pathish | Pack,
    *,
    batch_size: int = 32,
    threads: int | None = None,
    on_error: str = "fail",
    device: str = "auto",
    progress: bool = True,
) -> Predictions:
    """Predict a grade for every photograph of a source.

    The networks run in 32-bit floating point, in evaluation mode. What a photograph gets does not depend on what else
    is in its batch or whether it comes from a folder or a pack, within 1e-4 of a grade (the order of sums differs).

    Parameters
    ----------
    runs
        A run folder, or several: their raw values are averaged. They must share recipe and thresholds.
    source
        A pack made with the recipe of the runs; or a folder, .zip, .tar or single photograph, baked by that recipe.
    batch_size
        Images per step of the model.
    threads
        Threads that read and bake; all cores without it. Never more than ``batch_size`` + 2 ``threads`` images wait.
    on_error
        Photographs that cannot be baked: ``"fail"`` raises after all others were tried, ``"skip"`` lists them in
        :attr:`Predictions.failures`. They are never given a grade.
    device
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; ``"auto"`` takes what the machine has.
    progress
        Show a progress bar when standard error is a terminal.

    Returns
    -------
    Predictions

    Raises
    ------
    RecipeMismatch
        When the pack, or one of the runs, was made with another recipe.
    PackFailures
        When photographs could not be baked and ``on_error`` is ``"fail"``.
    RunError, SourceError, PackError, OptionError
        When a run, the source or an option cannot be used.

    Examples
    --------
    >>> from prebake.predict import predict
    >>> predict("run", "test_images/").to_csv("predictions.csv")     # doctest: +SKIP
    """
    if on_error not in ("fail", "skip"):
        raise OptionError("on_error is not known", expected="fail or skip", got=on_error)
    if batch_size < 1 or (threads is not None and threads < 1):
        raise OptionError("batch_size and threads", expected="at least 1", got=f"{batch_size} and {threads}")
    opened = [run if isinstance(run, Run) else Run(run) for run in ([runs] if isinstance(runs, _ONE) else runs)]
    recipe = _common_recipe(opened)
    thresholds = _common_thresholds(opened)
    workers = threads or len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(workers, thread_name_prefix="prebake-predict") as pool:
        if isinstance(source, Pack) or _is_pack(source):
            pack = source if isinstance(source, Pack) else open_pack(source)
            _require_fits(pack, recipe, opened[0])
            total, batches = len(pack), _pack_batches(pack, batch_size, pool)
        else:
            samples = scan([source])
            total, batches = len(samples), _photograph_batches(samples, _needed(recipe, opened[0]), batch_size, pool)
        members = _load(opened, device)
        ids, per_run, failures = _run_all(members, batches, total, stop=on_error == "fail", show=progress)
    if failures and on_error == "fail":
        raise PackFailures(
            f"{len(failures)} of {total} photographs could not be read, so nothing was predicted",
            failures,
            do="look at these files, or leave them out with --on-error skip",
        )
    raw = per_run.mean(axis=0, dtype=np.float64).astype(np.float32)
    return Predictions(tuple(ids), raw, grade(raw, thresholds), per_run, tuple(failures))


_ONE = (str, os.PathLike, Run)


def _common_recipe(runs: Sequence[Run]) -> Recipe | None:
    if not runs:
        raise OptionError("no run to predict with", expected="at least one run folder")
    first = runs[0].recipe
    for run in runs[1:]:
        if first is None or run.recipe is None:
            if first is not run.recipe:
                raise RecipeMismatch(f"{runs[0].path} and {run.path} do not both know their recipe")
        else:
            require_same(run.recipe, first, f"{run.path} (the other runs, as {runs[0].path}, have the one needed)")
    return first


def _common_thresholds(runs: Sequence[Run]) -> list[float]:
    first = [float(cut) for cut in runs[0].info["thresholds"]]
    for run in runs[1:]:
        if [float(cut) for cut in run.info["thresholds"]] != first:
            raise RunError(
                f"the runs turn raw values into grades differently: {run.path}",
                expected=f"thresholds {first}, as {runs[0].path}",
                got=run.info["thresholds"],
                do="predict with each run by itself",
            )
    return first


def _is_pack(source: Pathish) -> bool:
    path = Path(source)
    if not path.is_file():
        return path.suffix.lower() in (".h5", ".hdf5")
    with path.open("rb") as file:
        return file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE


def _require_fits(pack: Pack, recipe: Recipe | None, run: Run) -> None:
    if pack.recipe is not None and recipe is not None:
        require_same(pack.recipe, recipe, f"the pack {pack.name}")
    elif (pack.recipe is None) != (recipe is None):
        raise RecipeMismatch(
            f"it cannot be checked that {pack.name} was baked as {run.path} needs it",
            expected=recipe.describe() if recipe else "a pack without a recipe, as the run was trained on",
            got=pack.recipe.describe() if pack.recipe else "a pack that does not tell its recipe",
            do="predict on the photographs themselves" if recipe else None,
        )
    size = run.info["input"]["size"]
    if tuple(pack.shape) != (size, size, 3):
        raise RecipeMismatch(
            f"the images of {pack.name} do not fit {run.path}", expected=f"{size}x{size}x3", got=tuple(pack.shape)
        )


def _needed(recipe: Recipe | None, run: Run) -> Recipe:
    if recipe is None:
        raise RunError(
            f"{run.path} was trained on a pack that does not tell its recipe",
            expected="a pack to predict on: photographs cannot be baked without a recipe",
            do="bake the photographs as that pack was, and give the pack",
        )
    return recipe


def _load(runs: Sequence[Run], wanted: str) -> list[_Member]:
    """Build the network of each run on the device, with the run's best weights."""
    torch = _torch()
    from prebake.models import load_run_model  # noqa: PLC0415 - loads torch

    device = _device(torch, wanted)
    members = []
    for run in runs:
        network = load_run_model(run)
        network = network.eval().to(device, memory_format=torch.channels_last)
        mean, std = (
            torch.tensor(run.info["input"][key], dtype=torch.float32, device=device).reshape(1, 3, 1, 1)
            for key in ("mean", "std")
        )
        members.append(_Member(str(run.path), network, mean, std))
    return members


def _device(torch: Any, wanted: str) -> torch.device:
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(wanted)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise OptionError(
            f"device {wanted} cannot be used: {str(error).splitlines()[0]}", do="use --device cpu, or auto"
        ) from error
    return device


def _run_all(
    members: Sequence[_Member], batches: Iterator[_Batch], total: int, *, stop: bool, show: bool
) -> tuple[list[str], npt.NDArray[np.float32], list[Failure]]:
    """Give every batch to every network; with ``stop``, only look for further failures after the first."""
    torch = _torch()
    ids: list[str] = []
    failures: list[Failure] = []
    found: list[npt.NDArray[np.float32]] = [np.empty((len(members), 0), dtype=np.float32)]
    device = members[0].mean.device
    with torch.inference_mode(), progress_bar("predicting", total, enabled=show) as bar:
        for batch in batches:
            failures += batch.failures
            if batch.ids and not (failures and stop):
                pixels = torch.from_numpy(batch.images).to(device).permute(0, 3, 1, 2)
                images = pixels.to(torch.float32, memory_format=torch.channels_last) / 255
                ids += batch.ids
                found.append(np.stack([_finite(member, member.raw(images), batch.ids) for member in members]))
            bar.update(len(batch.ids) + len(batch.failures))
    return ids, np.concatenate(found, axis=1), failures


def _finite(member: _Member, raw: npt.NDArray[np.float32], ids: Sequence[str]) -> npt.NDArray[np.float32]:
    bad = np.flatnonzero(~np.isfinite(raw))
    if bad.size:
        raise RunError(
            f"the model of {member.name} gives {raw[bad[0]]} for {ids[bad[0]]}",
            expected="a finite number",
            do="train again with a lower learning rate, or in 32-bit precision",
        )
    return raw


def _pack_batches(pack: Pack, batch_size: int, pool: ThreadPoolExecutor) -> Iterator[_Batch]:
    def load(start: int) -> _Batch:
        rows = range(start, min(start + batch_size, len(pack)))
        return _Batch([pack.ids[row] for row in rows], pack.read(rows), [])

    return _in_order(pool, load, range(0, len(pack), batch_size), ahead=2)


def _photograph_batches(
    samples: Sequence[Sample], recipe: Recipe, batch_size: int, pool: ThreadPoolExecutor
) -> Iterator[_Batch]:
    def bake(sample: Sample) -> Pixels | Failure:
        try:
            return recipe.bake(read_bytes(sample)).image
        except (PrebakeError, OSError) as error:
            return Failure(sample.id, sample.path, " ".join(str(error).split()))

    ids: list[str] = []
    images: list[Pixels] = []
    failures: list[Failure] = []
    baked = _in_order(pool, bake, samples, ahead=batch_size + pool._max_workers)
    for sample, result in zip(samples, baked, strict=True):
        if isinstance(result, Failure):
            failures.append(result)
        else:
            ids.append(sample.id)
            images.append(result)
        if len(ids) + len(failures) == batch_size or sample is samples[-1]:
            yield _Batch(ids, np.stack(images) if images else np.empty((0, 0, 0, 3), np.uint8), failures)
            ids, images, failures = [], [], []


def _in_order(pool: ThreadPoolExecutor, work: Callable[[T], U], items: Iterable[T], ahead: int) -> Iterator[U]:
    """Map in threads, results in the order of the items, at most ``ahead`` + 1 of them waiting."""
    waiting: deque[Future[U]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _torch() -> Any:
    try:
        import torch  # noqa: PLC0415 - a prediction table can be read without torch
    except ImportError as error:
        raise MissingExtra("torch is not installed", do="pip install 'prebake[train]'") from error
    return torch
