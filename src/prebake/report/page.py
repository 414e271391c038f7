"""Writes the page: :mod:`prebake.report.content` says what is on it, ``page.html`` and ``style.css`` how it looks."""

from __future__ import annotations

import importlib
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from prebake.errors import MissingExtra
from prebake.files import write_text
from prebake.runs import REPORT, Run

if TYPE_CHECKING:
    import os

__all__ = ["write_report"]


def write_report(run: str | os.PathLike[str] | Run, output: str | os.PathLike[str] | None = None) -> Path:
    """Write one self-contained HTML page about a run.

    The page reads well on a phone, on paper, in light and dark; it loads nothing, runs no script, and is written whole
    or not at all. What the run folder lacks (a training that has not ended) is said on the page.

    Parameters
    ----------
    run
        The run folder.
    output
        The page to write; ``report.html`` in the run folder without it.

    Returns
    -------
    Path of the page.

    Raises
    ------
    RunError
        When the folder is no run, or a file in it is damaged.
    MissingExtra
        When jinja2 or scikit-learn is not installed.

    Examples
    --------
    >>> from prebake.report import write_report
    >>> write_report("run")                   # doctest: +SKIP
    PosixPath('run/report.html')
    """
    opened = run if isinstance(run, Run) else Run(run)
    target = Path(output) if output is not None else opened.path / REPORT
    write_text(target, _render(opened))
    return target


def _render(run: Run) -> str:
    try:
        jinja2 = importlib.import_module("jinja2")
    except ImportError as error:
        raise MissingExtra(
            "jinja2 is not installed", expected="the extra `train`", do="pip install 'prebake[train]'"
        ) from error
    from prebake.report.content import content  # noqa: PLC0415 - its charts need markupsafe, which comes with jinja2

    folder = resources.files("prebake.report")
    files = {name: folder.joinpath(name).read_text(encoding="utf-8") for name in ("page.html", "style.css")}
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(files), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return str(environment.get_template("page.html").render(content(run)))
