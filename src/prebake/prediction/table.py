"""The table that predicting gives, and its CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from prebake.files import write_text
from prebake.metrics import grade

if TYPE_CHECKING:
    import os

    import numpy.typing as npt
    import pandas as pd

    from prebake.records import Failure

__all__ = ["Predictions"]

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
        The photographs that could not be read or baked (only with ``on_error="skip"``); of a pack, those that packing
        left out.
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
        spread: npt.NDArray[np.float64] = self.per_run.std(axis=0, dtype=np.float64)
        return spread.astype(np.float32)

    def graded(self, thresholds: Sequence[float]) -> Self:
        """Return the same predictions with ``raw`` cut at other thresholds."""
        return replace(self, diagnosis=grade(self.raw, thresholds))

    def table(self) -> pd.DataFrame:
        """Return columns ``id_code``, ``diagnosis``, ``raw``; of several runs also ``raw_1``, ..., ``spread``."""
        import pandas as pd  # noqa: PLC0415 - half a second that predicting itself does not need

        columns: dict[str, Any] = {"id_code": list(self.ids), "diagnosis": self.diagnosis, "raw": self.raw}
        if len(self.per_run) > 1:
            columns |= {f"raw_{number}": values for number, values in enumerate(self.per_run, start=1)}
            columns["spread"] = self.spread
        return pd.DataFrame(columns)

    def to_csv(self, path: str | os.PathLike[str], *, submission: bool = False) -> None:
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
        lines = [",".join(table.columns)]
        for row in table.itertuples(index=False, name=None):
            cells = (f"{value:.9g}" if isinstance(value, float) else str(value) for value in row[1:])
            lines.append(",".join([_quoted(row[0] if submission else _harmless(row[0])), *cells]))
        write_text(path, "\n".join(lines) + "\n")


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell


def _quoted(cell: str) -> str:
    """Quote a cell as RFC 4180 says (Python's csv leaves a lone carriage return bare, where readers end a row)."""
    return '"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in ',"\r\n') else cell
