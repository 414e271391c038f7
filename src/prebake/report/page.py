"""Writes the page: :mod:`prebake.report.content` says what is on it, ``page.html`` and ``style.css`` how it looks."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prebake.errors import MissingExtra
from prebake.files import write_text
from prebake.runs import REPORT, Run

if TYPE_CHECKING:
    import os

__all__ = ["render", "require_jinja2", "write_report"]


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
    jinja2 = require_jinja2()
    from prebake.report.content import content  # noqa: PLC0415 - its charts need markupsafe, which comes with jinja2

    write_text(target, render(jinja2, "page.html", content(opened)))
    return target


def require_jinja2() -> Any:
    """Return jinja2, or say what to install."""
    try:
        return importlib.import_module("jinja2")
    except ImportError as error:
        raise MissingExtra(
            "jinja2 is not installed", expected="the extra `train`", do="pip install 'prebake[train]'"
        ) from error


def render(jinja2: Any, template: str, values: Mapping[str, object]) -> str:
    """Return a page: one of the templates in this folder, which fill in ``base.html``, the shell of all pages.

    Parameters
    ----------
    jinja2
        As :func:`require_jinja2` gives it.
    template
        The name of the template.
    values
        What stands on the page; text is escaped.
    """
    folder = resources.files("prebake.report")
    names = [file.name for file in folder.iterdir() if file.name.endswith((".html", ".css"))]
    files = {name: folder.joinpath(name).read_text(encoding="utf-8") for name in names}
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(files), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return str(environment.get_template(template).render(values))
