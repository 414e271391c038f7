"""The options that several verbs have, each written once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from prebake.errors import OptionError

__all__ = [
    "Functions",
    "Json",
    "Layout",
    "MaybeOutput",
    "OnError",
    "Open",
    "Output",
    "Paths",
    "RunsAndInput",
    "Workers",
    "allow",
    "runs_and_input",
]

Functions = Annotated[list[str] | None, Parameter(name="--allow-function")]
Json = Annotated[bool, Parameter(name="--json")]
Layout = Literal["auto", "folder", "aptos", "eyepacs", "idrid", "messidor2", "ddr", "odir"]
MaybeOutput = Annotated[Path | None, Parameter(name=["--output", "-o"])]
OnError = Literal["fail", "skip"]
Open = Annotated[bool, Parameter(name="--open")]
Output = Annotated[Path, Parameter(name=["--output", "-o"])]
Paths = Annotated[list[Path] | None, Parameter(consume_multiple=True)]
RunsAndInput = Annotated[Path, Parameter(name="RUN... INPUT")]
Workers = Annotated[int | None, Parameter(name=["--workers", "-j"])]


def allow(functions: Sequence[str] | None) -> None:
    """Let recipes out of files call the functions that the command line names."""
    from prebake.recipe import allow_function

    for name in functions or ():
        allow_function(name)


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
