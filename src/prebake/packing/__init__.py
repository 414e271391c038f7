"""Packing: photographs in, one verified pack out, in parallel and whatever happens on the way.

Samples are cut into parts; any :class:`concurrent.futures.Executor` bakes the parts, each a small pack in the work
folder beside the target; merged in input order they become the target, which is verified and then moved to its place.
Images that an interrupted run or an earlier pack already has are not baked again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prebake.errors import OptionError
from prebake.packing.cluster import on_cluster
from prebake.packing.codec_choice import CodecChoice, CodecFacts, choose_codec
from prebake.packing.folder import WorkFolder
from prebake.packing.job import Job
from prebake.packing.options import PackOptions, PathLike
from prebake.packing.repairing import repair
from prebake.packing.set_job import SetJob
from prebake.remote import local_path
from prebake.sources import scan
from prebake.store import ManyPacks, Pack, PackRows, pattern_of

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from prebake.recipe import Recipe

__all__ = ["CodecChoice", "CodecFacts", "PackOptions", "choose_codec", "pack", "repair"]


def pack(  # noqa: PLR0913 - one keyword for each option of the command line
    sources: PathLike | Sequence[PathLike],
    output: PathLike,
    *,
    recipe: Recipe | str = "kernel",
    size: int | None = None,
    codec: str = "auto",
    labels: PathLike | None = None,
    layout: str = "auto",
    workers: int | None = None,
    on_error: str = "fail",
    time_limit: float = 60,
    memory_limit: float | None = None,
    max_pack_size: str | int | None = None,
    executor: Executor | None = None,
    scheduler: str | None = None,
    progress: bool = True,
) -> Pack:
    """Bake photographs into a pack, each of them once, in parallel.

    Killed or interrupted at any moment, the same call goes on where it was. Called again it bakes only what is new or
    has changed, and where that is nothing it writes nothing. The bytes of the pack depend on the sources and the
    options (with ``codec="auto"`` also on what was chosen), not on the number of workers or on what happened on the
    way. Under its final name a pack is complete and verified, or not there.

    Parameters
    ----------
    sources
        Folders, .zip or .tar files of photographs, or single photographs; paths, or URLs (docs/remote.md). Several
        become one pack, their ids starting with the name of the source.
    output
        The pack to write, on this machine. Finished parts lie beside it meanwhile, in the hidden folder
        ``.NAME.prebake``; what stays there is a small file that makes the next call quick, and may be removed.
    recipe
        A :class:`prebake.recipe.Recipe`, or what :func:`prebake.recipe.load_recipe` takes: ``"kernel"``,
        ``"package.module:function"``, a ``.json`` file.
    size
        Side of the baked images in pixels; 256 without it, or what the recipe brings.
    codec
        ``"raw"``, ``"zstd"``, ``"gzip"``, or ``"auto"``: what the pack already has, else what :func:`choose_codec` says
        of this machine and, where that matters, of a few of the photographs, which are baked first.
    labels
        The CSV with ids and labels, where it is not the one that lies with the photographs.
    layout
        How photographs and labels lie in the sources, see :data:`prebake.sources.LAYOUTS`.
    workers
        Processes that bake; all usable cores without it.
    on_error
        What becomes of photographs that cannot be baked: ``"fail"`` raises after all others are done, ``"skip"`` leaves
        them out and lists them in the pack.
    time_limit
        Seconds that one photograph may take, from reading to writing. One that takes longer is a failure; the next call
        tries it again.
    memory_limit
        Gigabytes that the worker processes may take together; three quarters of the memory of the machine without it.
        Where they take more, the largest of them is ended, and its photograph tried alone when all others are done.
    max_pack_size
        Such as ``"50GB"``, or bytes: write files ``NAME-00000-of-00012.h5``, ``NAME-00001-of-00012.h5``, ... of at most
        that size instead of one. Each is a complete pack; all take their places together when all are finished, and
        those of an earlier call with another number of files are removed then.
    executor
        Where to bake instead of local processes, for example ``dask.distributed.Client(...).get_executor()``. Its
        workers must see the sources and the folder of the target under the same paths, and must not be forked. It is
        left open. The limits do not hold there: a photograph that takes too long is only named in a warning.
    scheduler
        Bake on the workers of this dask scheduler (``"tcp://HOST:8786"``), as with ``executor``; before anything is
        baked all of them are asked whether they have the same versions and see the same folders.
    progress
        Whether to show progress (on a terminal only).

    Returns
    -------
    prebake.store.Pack
        The finished pack; with ``max_pack_size`` all files as one (:class:`prebake.store.ManyPacks`).

    Raises
    ------
    prebake.errors.OptionError
        An option cannot be used.
    prebake.errors.SourceError
        The sources cannot be read as they stand; problems of the table come all at once.
    prebake.errors.RecipeError
        The recipe is not valid.
    prebake.errors.PackFailures
        Photographs could not be baked; the finished parts are kept for the next call.
    prebake.errors.PackLocked
        Another process packs to the same target.
    prebake.errors.NoSpace
        The disk will not hold the pack. The target is what it was.
    prebake.errors.PackFormatError
        The target exists and is no pack of ours; it is not overwritten.
    KeyboardInterrupt
        Passed on when the user interrupts; its note says how to go on.

    Examples
    --------
    >>> import tempfile
    >>> import cv2, numpy as np
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "photographs").mkdir()
    >>> for name in ("left", "right"):
    ...     _ = cv2.imwrite(str(folder / "photographs" / f"{name}.png"), np.full((60, 80, 3), 90, np.uint8))
    >>> made = pack(folder / "photographs", folder / "eyes.h5", recipe="resize", size=32, workers=1)
    >>> list(made.ids), made["left"].shape
    (['left', 'right'], (32, 32, 3))
    """
    options = PackOptions(
        recipe, size, codec, labels, layout, workers, on_error, time_limit, memory_limit, progress, max_pack_size
    )
    if executor is not None and scheduler is not None:
        raise OptionError("executor and scheduler contradict each other", expected="one of them")
    if isinstance(sources, (str, os.PathLike)):
        sources = [sources]
    target = Path(os.path.realpath(local_path(output)))
    if target.is_dir():
        raise OptionError(
            "output", expected="a file to write", got=f"the folder {target}", do=f"-o {target / 'pack.h5'}"
        )
    chosen = options.load_recipe()
    samples = scan(sources, labels=labels, layout=layout)
    with WorkFolder.held(target) as work, contextlib.ExitStack() as stack:
        if scheduler is not None:
            roots = sorted({sample.root for sample in samples})
            executor = stack.enter_context(on_cluster(scheduler, work.path, roots))
        if max_pack_size is None:
            Job(target, work, options, chosen, samples).run(executor)
            return Pack(target)
        job = SetJob(target, work, options, chosen, samples)
        job.run(executor)
        return ManyPacks(PackRows.of(job.files), pattern_of(target))
