"""Audit packs: the one call behind ``prebake audit``."""

from __future__ import annotations

from prebake.auditing.copies import all_copies
from prebake.auditing.counting import all_parts, pack_facts, patients
from prebake.auditing.features import measure
from prebake.auditing.guessing import require_sklearn
from prebake.auditing.looking import find_shifts, find_shortcuts
from prebake.auditing.result import Audit
from prebake.duplicates import find_duplicates
from prebake.errors import PackError
from prebake.splits import together
from prebake.store import PackRows, Packs

__all__ = ["audit"]


def audit(packs: Packs) -> Audit:
    """Look for what makes results on these photographs wrong, before anything is trained.

    Copies and whether their labels agree; how well image size, file size, framing, colour and border alone predict
    the grade, and tell training from test photographs, packs and sources from each other (a small model,
    cross-validated over groups of patients and copies, with bootstrap intervals); labels by source and split; patients.
    The same packs give the same audit.

    Parameters
    ----------
    packs
        Packs, paths or patterns; their rows are audited as one data set, and each source also alone.

    Raises
    ------
    PackError
        The packs hold no image.
    MissingExtra
        scikit-learn is not installed.

    Examples
    --------
    >>> found = audit(["train.h5", "test.h5"])                    # doctest: +SKIP
    >>> for finding in found.findings:                            # doctest: +SKIP
    ...     print(finding.text)
    """
    require_sklearn()
    rows = PackRows.of(packs)
    if not len(rows):
        raise PackError("there is nothing to audit: the packs hold no image", do="prebake info PACK shows what failed")
    duplicates = find_duplicates(rows)
    features = measure(rows)
    groups = together(duplicates)
    return Audit(
        rows=rows,
        packs=pack_facts(rows),
        parts=all_parts(rows),
        patients=patients(rows),
        copies=all_copies(duplicates),
        shortcuts=find_shortcuts(rows, features, groups),
        shifts=find_shifts(rows, features, groups),
    )
