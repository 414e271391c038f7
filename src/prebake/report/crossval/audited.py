"""What an audit of the packs finds, for the page of a cross-validation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prebake.auditing import audit
from prebake.errors import PrebakeError

if TYPE_CHECKING:
    from prebake.report.crossval.packs import Found

__all__ = ["audited"]


def audited(packs: Found) -> dict[str, Any]:
    """Return the findings, the serious first, and what could not be audited."""
    findings: list[dict[str, Any]] = []
    problems = list(packs.absent)
    if packs.packs:
        try:
            found = audit(list(packs.packs.values()))
        except PrebakeError as error:
            problems.append(f"The packs could not be audited: {str(error).splitlines()[0]}.")
        else:
            findings = [{"text": one.text, "serious": one.serious} for one in found.findings]
    serious = sum(one["serious"] for one in findings)
    if not findings:
        summary = "Nothing was audited."
    elif serious:
        summary = f"{serious} thing{'s' * (serious > 1)} to look at before these numbers are believed."
    else:
        summary = "Nothing serious was found in the photographs."
    return {"summary": summary, "findings": findings, "problems": problems}
