"""What runs in a worker process, wherever that is: bake the photographs of one part, one after the other.

Pixels never leave the worker but for the disk: what comes in is a :class:`Task` (paths and numbers), what goes out a
small :class:`prebake.packing.folder.Receipt`.

Before each photograph the worker writes its position into a note. So a driver can count photographs while a part is
under way, and knows which one was being baked when a worker died.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import parent_process
from pathlib import Path

import cv2

from prebake.errors import NoSpace, PackError, PrebakeError
from prebake.files import atomic_path, digest, is_full, write_text
from prebake.fundus import perceptual_hash
from prebake.packing.folder import Outcome, Receipt, seen
from prebake.packing.surroundings import require_same_versions, require_sources
from prebake.recipe import Recipe, allow_function
from prebake.records import Failure, Sample
from prebake.sources import read_ahead, read_bytes
from prebake.store import Header, PackWriter, Row

__all__ = ["Task", "bake_part", "begun", "digest_of", "under_way"]

DONE = "done"
_LOADED_IN = os.getpid()


@dataclass(frozen=True, slots=True)
class Task:
    """One part to bake. Small and picklable; all paths are absolute and lie where driver and workers both see them.

    Parameters
    ----------
    samples
        The photographs.
    header
        What the part says of its images; the recipe is rebuilt from it.
    made_by
        Digest of what turns photographs into images, see :class:`prebake.packing.folder.Receipt`.
    parts, run
        The folder for finished parts, and the folder for notes. When the latter is gone, nobody waits any more.
    functions
        The functions that the recipe may call.
    versions
        What the driver has; where a worker elsewhere has others, it refuses. Empty for processes of our own.
    """

    samples: tuple[Sample, ...]
    header: Header
    made_by: str
    parts: str
    run: str
    functions: tuple[str, ...] = ()
    versions: str = ""

    @property
    def name(self) -> str:
        """Digest of all that the part is made from: also its file name."""
        stamps = "\n".join(f"{sample.id}\0{seen(sample)}" for sample in self.samples)
        return digest(f"{self.made_by}\n{stamps}".encode(errors="surrogatepass"))

    @property
    def note(self) -> Path:
        """Where the worker says which photograph it is at."""
        return Path(self.run, self.name)


def bake_part(task: Task) -> Receipt:
    """Bake the photographs of one part and write it, then its receipt.

    A photograph that cannot be baked becomes an outcome with a reason, never an exception. Nothing waits for the disk:
    what a loss of power takes of a part is noticed when it is used, and baked again.

    Raises
    ------
    prebake.errors.PrebakeError
        When the part as such cannot be made: the disk is full, the recipe cannot be loaded, the driver is gone.
    """
    if os.getpid() != _LOADED_IN:
        raise PackError(
            "the executor forks its processes: they can wait forever for threads of OpenCV that a fork does not copy",
            do='ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn"))',
        )
    if task.versions:
        require_same_versions(task.versions)
        require_sources({sample.root for sample in task.samples})
    if parent_process() is not None:  # not where the user's own process bakes, whose setting this is
        cv2.setNumThreads(1)
    for function in task.functions:
        allow_function(function)
    name = task.name
    try:
        with _progress_note(task) as note, atomic_path(Path(task.parts, f"{name}.h5"), sync=False) as temporary:
            recipe = _recipe(task.header.recipe_json)
            shape = (recipe.size, recipe.size, 3)
            with (
                PackWriter(temporary, task.header, shape, len(task.samples)) as writer,
                read_ahead(task.samples) as read,
            ):
                outcomes = tuple(_bake(sample, recipe, writer, read) for sample in note)
        receipt = Receipt(name, task.made_by, outcomes)
        write_text(Path(task.parts, f"{name}.json"), receipt.to_json(), sync=False)
    except OSError as error:
        raise _explained(error, task) from error
    return receipt


def _bake(sample: Sample, recipe: Recipe, writer: PackWriter, read: Callable[[Sample], bytes]) -> Outcome:
    stamp, source_digest = seen(sample), ""
    try:
        data = read(sample)
        source_digest = digest(data)
        baked = recipe.bake(data)
    except MemoryError:  # another time there may be enough of it: without a digest the photograph counts as not tried
        return Outcome(sample.id, stamp, "", "not enough memory")
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a recipe of the user may raise whatever it likes
        return Outcome(sample.id, stamp, source_digest, Failure.of(sample, error).reason)
    writer.add(
        Row(
            id=sample.id,
            label=sample.label,
            group=sample.group,
            source=sample.source,
            split=sample.split,
            path=sample.path,
            width=baked.width,
            height=baked.height,
            to_source=baked.to_source,
            source_digest=source_digest,
            source_bytes=len(data),
            phash=perceptual_hash(baked.image),
        ),
        baked.image,
    )
    return Outcome(sample.id, stamp, source_digest)


@lru_cache(maxsize=4)
def _recipe(recipe_json: str) -> Recipe:
    return Recipe.from_json(recipe_json)


@contextmanager
def _progress_note(task: Task) -> Iterator[Iterator[Sample]]:
    """Give the samples of a task one by one, noting each before it is handed out."""
    with task.note.open("w", encoding="ascii") as note:

        def samples() -> Iterator[Sample]:
            for index, sample in enumerate(task.samples):
                if not task.note.exists():
                    raise PackError("the packing that this part belongs to has stopped")
                note.write(f"{index}\n")
                note.flush()
                yield sample
            note.write(f"{DONE}\n")
            note.flush()

        yield samples()


def _explained(error: OSError, task: Task) -> PackError:
    """Make an error of ours of one that the disk gave."""
    if not Path(task.run).exists():
        return PackError(
            "the packing that this part belongs to has stopped, or the worker does not see its folder",
            got=f"no {task.run} on {socket.gethostname()}",
            do="let all workers see the folder of the pack under the same path",
        )
    kind = NoSpace if is_full(error) else PackError
    return kind(
        f"a part could not be written to {task.parts}",
        got=error.strerror or str(error),
        do="see to it, then run the same command again: finished parts are kept",
    )


def digest_of(sample: Sample) -> str:
    """Return the digest of the encoded bytes of a photograph; empty where they cannot be read."""
    try:
        return digest(read_bytes(sample))
    except PrebakeError:
        return ""


def begun(run: Path) -> dict[str, int]:
    """Return the lines of each note, by name of the part: photographs begun, and one more when the last is done."""
    return {note.name: Path(note.path).read_bytes().count(b"\n") for note in os.scandir(run)}


def under_way(task: Task) -> int | None:
    """Return the position of the photograph that a lost worker was at; ``None`` where it was at none."""
    try:
        lines = task.note.read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return None
    return int(lines[-1]) if lines and lines[-1] != DONE else None
