"""Writes the page: :mod:`prebake.report.content` says what is on it, ``page.html`` and ``style.css`` how it looks."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prebake.errors import MissingExtra, OptionError
from prebake.files import write_text
from prebake.runs import REPORT, CrossValidation, Run, open_run

if TYPE_CHECKING:
    import os

__all__ = ["render", "require_jinja2", "write_report"]


def write_report(
    run: str | os.PathLike[str] | Run | CrossValidation,
    output: str | os.PathLike[str] | None = None,
    *,
    sources: Sequence[str | os.PathLike[str]] | None = None,
    device: str = "auto",
) -> Path:
    """Write one self-contained HTML page about a run or a cross-validation.

    The page reads well on a phone, on paper, in light and dark; it loads nothing, runs no script, and is written whole
    or not at all. What the folder lacks (a training that has not ended, a fold) is said on the page. Of a
    cross-validation it also shows the photographs with the largest errors and where the models look (Grad-CAM, which
    needs torch), and audits the packs, where they still are.

    Parameters
    ----------
    run
        The run folder, or that of a cross-validation.
    output
        The page to write; ``report.html`` in the folder without it.
    sources
        Of a cross-validation: the folders or archives that its packs were made of. Without it photographs are looked
        for beside the packs, under the name of their source.
    device
        Of a cross-validation: where Grad-CAM is computed, as in :func:`prebake.explain`.

    Returns
    -------
    Path of the page.

    Raises
    ------
    RunError
        When the folder is neither, a file in it is damaged, or no fold has begun.
    OptionError
        When ``sources`` are given for a run: its report shows no photographs.
    MissingExtra
        When jinja2 or scikit-learn is not installed.

    Examples
    --------
    >>> from prebake.report import write_report
    >>> write_report("run")                   # doctest: +SKIP
    PosixPath('run/report.html')
    """
    opened = open_run(run)
    target = Path(output) if output is not None else opened.path / REPORT
    jinja2 = require_jinja2()
    # its charts need markupsafe, which comes with jinja2
    if isinstance(opened, CrossValidation):
        from prebake.report.crossval.content import content as of_folds  # noqa: PLC0415

        page = render(jinja2, "crossval.html", of_folds(opened, sources, device))
    elif sources:
        raise OptionError(
            f"the report of {opened.path}, a single run, shows no photographs",
            expected="a cross-validation",
            do="leave --source out; prebake explain draws photographs for a run",
        )
    else:
        from prebake.report.content import content  # noqa: PLC0415

        page = render(jinja2, "page.html", content(opened))
    write_text(target, page)
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
