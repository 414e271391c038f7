"""The packs that a cross-validation was trained on, where they still are, and the photographs they were baked from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prebake.errors import PrebakeError
from prebake.show import match_photographs
from prebake.store import Pack, open_pack

if TYPE_CHECKING:
    import os

    from prebake.records import Sample
    from prebake.runs import CrossValidation

__all__ = ["Found", "Sources"]

ARCHIVES = ("", ".zip", ".tar")


@dataclass(frozen=True)
class Found:
    """The packs of a cross-validation by the name its tables use.

    Parameters
    ----------
    packs
        Those that lie where they were, with what they held.
    absent
        What is wrong with each other.
    """

    packs: dict[str, Pack]
    absent: tuple[str, ...]

    @classmethod
    def of(cls, cv: CrossValidation) -> Found:
        """Look for the packs where the cross-validation says that they were."""
        packs, absent = {}, []
        for told in cv.info["packs"]:
            name, path = str(told.get("name", "")), str(told.get("path", ""))
            try:
                pack = open_pack(path)
            except (PrebakeError, OSError):
                absent.append(f"The pack {name} is not at {path}.")
                continue
            if pack.digest == told.get("digest"):
                packs[name] = pack
            else:
                absent.append(f"The pack at {path} is not the one that was trained on: its contents have changed.")
        return cls(packs, tuple(absent))


@dataclass(frozen=True)
class Sources:
    """Where photographs may be found: what was given, or what lies beside the packs under the name of the source.

    Which file is the right one is told by its digest, not by its name.
    """

    given: tuple[str | os.PathLike[str], ...]

    @classmethod
    def of(cls, sources: Sequence[str | os.PathLike[str]] | None) -> Sources:
        """Take the paths that a user gives, or none."""
        return cls(tuple(sources or ()))

    def samples(self, pack: Pack, rows: Sequence[int]) -> tuple[list[Sample | None], str]:
        """Return the photograph of each row, ``None`` where it is not found, and what went wrong, if anything."""
        places = self.given or self._beside(pack, rows)
        if not places:
            return [None] * len(rows), ""
        try:
            return match_photographs(pack, rows, list(places)), ""
        except (PrebakeError, OSError) as error:
            return [None] * len(rows), str(error).splitlines()[0]

    def _beside(self, pack: Pack, rows: Sequence[int]) -> tuple[Path, ...]:
        names = {pack.sources[row] for row in rows} - {""}
        folder = pack.path.parent
        safe = [name for name in sorted(names) if Path(name).name == name and name not in (".", "..")]
        found = [folder / f"{name}{ending}" for name in safe for ending in ARCHIVES]
        return tuple(path for path in found if path.exists())
