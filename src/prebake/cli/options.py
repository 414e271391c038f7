"""The options that several verbs have, each written once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from prebake.errors import OptionError

__all__ = [
    "Json",
    "Layout",
    "MaybeOutput",
    "OnError",
    "Open",
    "Output",
    "Paths",
    "RunsAndInput",
    "Workers",
    "runs_and_input",
]

Json = Annotated[bool, Parameter(name="--json")]
Layout = Literal["auto", "folder", "aptos", "eyepacs", "idrid", "messidor2", "ddr", "odir"]
MaybeOutput = Annotated[Path | None, Parameter(name=["--output", "-o"])]
OnError = Literal["fail", "skip"]
Open = Annotated[bool, Parameter(name="--open")]
Output = Annotated[Path, Parameter(name=["--output", "-o"])]
Paths = Annotated[list[Path] | None, Parameter(consume_multiple=True)]
RunsAndInput = Annotated[Path, Parameter(name="RUN... INPUT")]
Workers = Annotated[int | None, Parameter(name=["--workers", "-j"])]


def runs_and_input(paths: Sequence[Path], usage: str) -> tuple[list[Path], Path]:
    """Tell the runs from the last path, what they are used on.

    Raises
    ------
    OptionError
        There are fewer than two paths; ``usage`` is the command to give.
    """
    if len(paths) < 2:
        raise OptionError("a run and an input are needed", expected=usage)
    return [*paths[:-1]], paths[-1]
