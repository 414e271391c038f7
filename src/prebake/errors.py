"""Every error that prebake raises on purpose.

::

    PrebakeError                 something a user can act on: the command line prints it, no traceback, exit code 1
    ├── OptionError              an option or a configuration field has a value that cannot be used (exit code 2)
    ├── MissingExtra             a package of an optional extra is not installed
    ├── SourceError              the input folder, archive or table cannot be read as it stands
    │   └── TableError           problems of the samples, all at once (.problems)
    ├── DecodeError              one photograph cannot be decoded
    ├── RecipeError              a recipe is not valid, or does not do what a recipe must
    │   └── RecipeMismatch       a pack (or photograph) was baked with another recipe than the one needed
    ├── PackError                one pack, on its own
    │   ├── PackFormatError      not a pack, or a pack of a newer format
    │   ├── PackDamaged          checksums do not match (.ids)
    │   ├── PackLocked           another process packs to the same target, or repairs it
    │   ├── PackFailures         some photographs could not be baked (.failures)
    │   └── NoSpace              the disk will not hold the pack
    ├── SplitError               a split that cannot be made, or that is not valid
    ├── WeightsError             weights that cannot be found, read or matched with the model
    └── RunError                 a run folder that cannot be read, or does not fit what is asked of it

Every message says what is wrong, what was expected, what was found, and what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prebake.records import Failure

__all__ = [
    "DecodeError",
    "MissingExtra",
    "NoSpace",
    "OptionError",
    "PackDamaged",
    "PackError",
    "PackFailures",
    "PackFormatError",
    "PackLocked",
    "PrebakeError",
    "RecipeError",
    "RecipeMismatch",
    "RunError",
    "SourceError",
    "SplitError",
    "TableError",
    "WeightsError",
]


class PrebakeError(Exception):
    """Base of all errors raised on purpose.

    Parameters
    ----------
    what
        What is wrong, with the object it is about (id, path, field).
    expected, got
        What was expected and what was found instead; left out of the message where they add nothing.
    do
        What to do next, preferably a command.
    """

    def __init__(self, what: str, *, expected: object = None, got: object = None, do: str | None = None) -> None:
        self.what, self.expected, self.got, self.do = what, expected, got, do
        lines = [what]
        lines += [f"  {name}: {value}" for name, value in (("expected", expected), ("got", got)) if value is not None]
        if do:
            lines.append(f"  what to do: {do}")
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by state, so that an error crosses a process boundary whole."""
        return (_rebuild, (type(self), str(self), self.__dict__))


def _rebuild(cls: type[PrebakeError], message: str, state: dict[str, object]) -> PrebakeError:
    error = cls.__new__(cls, message)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error


class OptionError(PrebakeError):
    """An option or a configuration field has a value that cannot be used."""


class MissingExtra(PrebakeError):
    """A package of an optional extra is not installed."""

    PACKAGES = (
        "captum",
        "huggingface_hub",
        "jinja2",
        "lightning",
        "matplotlib",
        "safetensors",
        "sklearn",
        "timm",
        "torch",
        "torchvision",
    )

    @classmethod
    def explaining(cls, error: ModuleNotFoundError) -> MissingExtra | None:
        """Return what to say of an import that failed; ``None`` where it is of no optional package."""
        package = (error.name or "").partition(".")[0]
        if package not in cls.PACKAGES:
            return None
        return cls(
            f"{package} is not installed",
            expected="the extra `train`",
            do="pip install 'prebake[train]' (brings torch)",
        )


class SourceError(PrebakeError):
    """The input folder, archive or table cannot be read as it stands."""


class TableError(SourceError):
    """Problems of the samples, all at once.

    Attributes
    ----------
    problems
        One line for each problem, in the order of the table.
    """

    SHOWN = 20

    def __init__(self, what: str, problems: Sequence[str], *, do: str | None = None) -> None:
        self.problems = tuple(problems)
        more = len(self.problems) - self.SHOWN
        lines = [f"{what}: {len(self.problems)} problem{'s' if len(self.problems) != 1 else ''}"]
        lines += [f"  - {problem}" for problem in self.problems[: self.SHOWN]]
        if more > 0:
            lines.append(f"  ... and {more} more")
        super().__init__("\n".join(lines), do=do)


class DecodeError(PrebakeError):
    """One photograph cannot be decoded."""


class RecipeError(PrebakeError):
    """A recipe is not valid, or does not do what a recipe must."""


class RecipeMismatch(RecipeError):
    """A pack (or photograph) was baked with another recipe than the one needed."""


class PackError(PrebakeError):
    """Something is wrong with one pack."""


class PackFormatError(PackError):
    """The file is not a pack, or a pack of a newer format."""


class PackDamaged(PackError):
    """Checksums do not match.

    Attributes
    ----------
    ids
        The ids of the damaged images.
    """

    def __init__(self, what: str, ids: Sequence[str] = (), *, do: str | None = None) -> None:
        self.ids = tuple(ids)
        super().__init__(what, do=do)


class PackLocked(PackError):
    """Another process packs to the same target, or repairs it."""


class PackFailures(PackError):
    """Some photographs could not be baked.

    Attributes
    ----------
    failures
        One :class:`prebake.records.Failure` for each of them.
    """

    SHOWN = 20

    def __init__(self, what: str, failures: Sequence[Failure], *, do: str | None = None) -> None:
        self.failures = tuple(failures)
        more = len(self.failures) - self.SHOWN
        lines = [what]
        lines += [f"  - {failure.id}  ({failure.path}): {failure.reason}" for failure in self.failures[: self.SHOWN]]
        if more > 0:
            lines.append(f"  ... and {more} more")
        super().__init__("\n".join(lines), do=do)


class NoSpace(PackError):
    """The disk will not hold the pack."""


class SplitError(PrebakeError):
    """A split that cannot be made, or that is not valid."""


class WeightsError(PrebakeError):
    """Weights that cannot be found, read or matched with the model."""


class RunError(PrebakeError):
    """A run folder that cannot be read, or does not fit what is asked of it."""
