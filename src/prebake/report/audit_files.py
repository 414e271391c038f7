"""What an audit leaves behind: one page, or a folder of pictures; the name of the output says which."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from prebake.auditing import save_pictures
from prebake.errors import OptionError
from prebake.report.audit_page import write_audit
from prebake.report.page import require_jinja2

if TYPE_CHECKING:
    from prebake.auditing import Audit

__all__ = ["require_audit_output", "save_audit"]


def require_audit_output(output: Path | None) -> None:
    """Refuse, before anything is audited, what cannot be written in the end.

    Raises
    ------
    OptionError
        The name has an ending, but not that of a page.
    MissingExtra
        jinja2, which writes the page, is not installed.
    """
    if output is None:
        return
    if _is_page(output):
        require_jinja2()
    elif output.suffix:
        raise OptionError("an audit is written as a page or as pictures", expected="a .html or a folder", got=output)


def save_audit(audit: Audit, output: Path) -> str:
    """Write a page if the name ends in ``.html``, else pictures of the copies into a folder; say what was written."""
    if _is_page(output):
        return str(write_audit(audit, output))
    return f"{len(save_pictures(audit, output))} pictures into {output}"


def _is_page(output: Path) -> bool:
    return output.suffix.lower() == ".html"
