"""The work folder beside a pack: its lock, the finished parts with their receipts, and what is known of the sources.

For the target ``OUT.h5`` it is ``.OUT.h5.prebake/``::

    lock            held (flock) while a process packs; the kernel lets go of it when that process dies
    known.json      id -> what was last seen of the source file, and its digest; only a cache, kept when all is done
    codec.json      which codec was chosen for a pack that is under way, and why: whoever goes on stays with it
    parts/X.h5      the images of one finished part (a pack)
    parts/X.json    its receipt, written after it: where there is a receipt, the part is whole
    run-.../        one note for each part under way; a worker whose run folder is gone stops by itself
    ready-N-X.h5    a finished file of several, which wait for each other; known-N.json is what is known of its sources
    publishing      there while the files of a set take their places
    merged.h5       the target, before it is verified and moved to its place
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prebake.errors import NoSpace, PackError, PackLocked
from prebake.files import digest, is_full, sync_folder, write_json, write_text
from prebake.locks import Held, held_lock
from prebake.packing.codec_choice import CodecChoice
from prebake.store import CODECS, Pack

if TYPE_CHECKING:
    from prebake.records import Sample

__all__ = ["Outcome", "Receipt", "WorkFolder", "seen"]

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one photograph.

    Parameters
    ----------
    id
        Its id.
    seen
        What was seen of the source file without reading it, see :func:`seen`.
    digest
        Digest of its bytes; empty where they could not be read.
    reason
        Why it could not be baked; empty where it was.
    """

    id: str
    seen: str
    digest: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of the photographs of one part, in their order; the baked ones are the rows of the part.

    Parameters
    ----------
    name
        File name of the part, without its ending: the digest of all that it was made from.
    made_by
        Digest of what turned photographs into images: recipe, format, versions.
    outcomes
        One for each photograph.
    """

    name: str
    made_by: str
    outcomes: tuple[Outcome, ...]

    def to_json(self) -> str:
        """Return the receipt as JSON."""
        rows = [[o.id, o.seen, o.digest, o.reason] for o in self.outcomes]
        return json.dumps({"format": FORMAT, "made_by": self.made_by, "outcomes": rows}, ensure_ascii=False) + "\n"


def seen(sample: Sample) -> str:
    """Return a digest of where a source file lies, its size and its stamp: other when the file may be another."""
    return digest(
        "\0".join((sample.root, sample.member, str(sample.size), sample.stamp)).encode(errors="surrogatepass")
    )


class WorkFolder:
    """The work folder of one target, held by this process alone. Made by :meth:`held`.

    Attributes
    ----------
    path, parts, merged
        The folder, the folder of its parts, and where the target is written before it is published.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.parts, self.merged = path, path / "parts", path / "merged.h5"

    @classmethod
    @contextlib.contextmanager
    def held(cls, target: Path) -> Iterator[WorkFolder]:
        """Make and hold the work folder of ``target``.

        Raises
        ------
        PackLocked
            Another process holds it.
        NoSpace, PackError
            It cannot be made; or the block raised an :class:`OSError`.
        """
        folder = target.with_name(f".{target.name}.prebake")
        work = cls(folder)
        with contextlib.ExitStack() as stack:
            stack.callback(_remove_empty, folder)  # when the lock is gone
            try:
                stack.enter_context(held_lock(folder / "lock"))
            except Held as holder:
                raise PackLocked(
                    f"another process packs to {target}, or repairs it",
                    got=holder,
                    do="wait until it is done, or stop it; or choose another target",
                ) from None
            except OSError as error:
                raise PackError(
                    f"cannot write beside {target}",
                    got=error.strerror or error,
                    do="see to it, or choose another place",
                ) from None
            try:
                work.parts.mkdir(exist_ok=True)
                work.stop_earlier_runs()
                yield work
            except OSError as error:
                raise (NoSpace if is_full(error) else PackError)(
                    f"packing to {target} cannot go on",
                    got=error,
                    do="see to it, then run the same command again: finished parts are kept",
                ) from error
            finally:
                with contextlib.suppress(OSError):
                    work.stop_earlier_runs()  # workers that were ended leave what they had not finished
                    work.parts.rmdir()  # only where it is empty

    def begin_run(self) -> Path:
        """Make the folder for the notes of a new run. Removing it tells workers, wherever they are, to stop."""
        run = self.path / f"run-{os.getpid()}-{secrets.token_hex(4)}"
        run.mkdir()
        return run

    def stop_earlier_runs(self) -> None:
        """Tell workers that a killed process has left behind to stop, and remove what they had not finished."""
        for run in self.path.glob("run-*"):
            shutil.rmtree(run, ignore_errors=True)
        for leftover in (*self.path.glob(".*"), *self.parts.glob(".*"), self.merged):
            leftover.unlink(missing_ok=True)

    def receipts(self, made_by: str) -> Iterator[Receipt]:
        """Give the receipts of the finished parts that were made the same way, in the order of their names."""
        for path in sorted(self.parts.glob("*.json")):
            value = _read_json(path)
            if value.get("made_by") != made_by:
                continue
            receipt = Receipt(path.stem, made_by, tuple(Outcome(*row) for row in value["outcomes"]))
            if self._is_whole(receipt):
                yield receipt

    def _is_whole(self, receipt: Receipt) -> bool:
        ids = [outcome.id for outcome in receipt.outcomes if not outcome.reason]
        try:
            with Pack(self.part(receipt.name)) as part:
                return part.ids == ids
        except PackError:
            return not ids

    def part(self, name: str) -> Path:
        """Return the path of the part of that name."""
        return self.parts / f"{name}.h5"

    def known(self) -> dict[str, Outcome]:
        """Return what was last known of each source file; empty where nothing is."""
        files = (self.path / "known.json", *sorted(self.path.glob("known-*.json")))
        return {row[0]: Outcome(*row) for file in files for row in _read_json(file).get("outcomes", [])}

    def remember(self, outcomes: Mapping[str, Outcome], name: str = "known") -> None:
        """Keep what is known of the source files for the next call, where there is room for that."""
        with contextlib.suppress(OSError):  # only a cache, and the pack is done
            write_text(self.path / f"{name}.json", Receipt(name, "", tuple(outcomes.values())).to_json())

    def choice(self, made_by: str) -> CodecChoice | None:
        """Return the codec that was chosen for a pack that was begun the same way; ``None`` where none was."""
        try:
            value = json.loads((self.path / "codec.json").read_text(encoding="utf-8"))
            how, choice = value.pop("made_by"), CodecChoice(**value)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return choice if how == made_by and choice.codec in CODECS else None

    def keep_choice(self, choice: CodecChoice, made_by: str) -> None:
        """Keep the choice of the codec until the pack is done."""
        write_json(self.path / "codec.json", {"made_by": made_by, **asdict(choice)})

    def publish(self, target: Path) -> None:
        """Move what was written and verified to its place, so that it stays there when power is lost."""
        with self.merged.open("rb") as file:
            os.fsync(file.fileno())
        self.merged.replace(target)
        sync_folder(target.parent)

    def clear(self) -> None:
        """Remove all but what the next call can use when the target is in its place."""
        shutil.rmtree(self.parts, ignore_errors=True)
        (self.path / "codec.json").unlink(missing_ok=True)
        for file in (*self.path.glob("known-*.json"), *self.path.glob("ready-*.h5")):
            file.unlink(missing_ok=True)
        self.stop_earlier_runs()


def _read_json(path: Path) -> dict[str, Any]:
    """Return the content of a receipt, or nothing where there is none of this format: then the work is done again."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        rows = value["outcomes"]
        good = value["format"] == FORMAT and all(len(row) == 4 and all(isinstance(x, str) for x in row) for row in rows)
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return value if good else {}


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
