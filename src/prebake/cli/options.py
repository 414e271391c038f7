"""The options that several verbs have, each written once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, Token

from prebake.errors import OptionError
from prebake.remote import as_url, local_path

__all__ = [
    "Functions",
    "Json",
    "Layout",
    "MaybeOutput",
    "MemoryLimit",
    "OnError",
    "Open",
    "Output",
    "PacksAndIds",
    "Paths",
    "RunsAndInput",
    "TimeLimit",
    "Workers",
    "allow",
    "packs_and_ids",
    "runs_and_input",
]

Functions = Annotated[list[str] | None, Parameter(name="--allow-function")]
Json = Annotated[bool, Parameter(name="--json")]
Layout = Literal["auto", "folder", "aptos", "eyepacs", "idrid", "messidor2", "ddr", "odir"]


def _path_here(_: object, tokens: Sequence[Token]) -> Path:
    return local_path(tokens[0].value)


MaybeOutput = Annotated[Path | None, Parameter(name=["--output", "-o"], converter=_path_here)]
MemoryLimit = Annotated[
    float | None,
    Parameter(
        help="Gigabytes that the processes may take together; three quarters of the machine's memory without it."
    ),
]
OnError = Literal["fail", "skip"]
Open = Annotated[bool, Parameter(name="--open")]
Output = Annotated[Path, Parameter(name=["--output", "-o"], converter=_path_here)]
PacksAndIds = Annotated[str, Parameter(name="PACK... [IDS...]")]
Paths = Annotated[list[str] | None, Parameter(consume_multiple=True)]
RunsAndInput = Annotated[str, Parameter(name="RUN... INPUT")]
TimeLimit = Annotated[
    float,
    Parameter(help="Seconds that one photograph may take; one that takes longer is ended and cannot be baked."),
]
Workers = Annotated[int | None, Parameter(name=["--workers", "-j"])]


def allow(functions: Sequence[str] | None) -> None:
    """Let recipes out of files call the functions that the command line names."""
    from prebake.recipe import allow_function

    for name in functions or ():
        allow_function(name)


def packs_and_ids(given: Sequence[str], usage: str) -> tuple[list[str], list[str]]:
    """Tell the packs, which stand first, from ids.

    Raises
    ------
    OptionError
        There is no pack; ``usage`` is the command to give.
    """
    if not given:
        raise OptionError("a pack is needed", expected=usage)
    from prebake.store import is_pack

    number = 1
    while number < len(given) and _may_be_pack(given[number]) and is_pack(given[number]):
        number += 1
    return [*given[:number]], [*given[number:]]


def _may_be_pack(text: str) -> bool:
    return Path(text).is_file() or "*" in text or as_url(text) is not None


def runs_and_input(paths: Sequence[str], usage: str) -> tuple[list[str], str | list[str]]:
    """Tell the runs from what they are used on: the last path, or all packs at the end.

    Raises
    ------
    OptionError
        There are fewer than two paths; ``usage`` is the command to give.
    """
    if len(paths) < 2:
        raise OptionError("a run and an input are needed", expected=usage)
    from prebake.store import is_pack

    last = len(paths) - 1
    while last > 1 and is_pack(paths[last]) and is_pack(paths[last - 1]):
        last -= 1
    return [*paths[:last]], paths[last] if last == len(paths) - 1 else [*paths[last:]]
