"""ODIR-5K: a CSV of one line a patient (or, in ``full_df.csv``, one line an eye) with the grades inside the keywords.

Keywords are separated by full-width commas (sometimes plain ones). A grade is read only where a keyword says it
exactly; a photograph with several of them has the highest. Everything else (another disease, "suspected ...", a
"diabetic retinopathy" without its degree, a low quality) has no label: the graders did not tell a degree, a guess
would be ours. The two eyes of a patient are one group.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from prebake.sources.layouts.base import Layout
from prebake.sources.tables import Row, Table

__all__ = ["LAYOUT", "grade_in"]

# Keywords as published (blanks dropped, for "non proliferative" and "nonproliferative" both occur), on the
# international scale of 0-4.
_GRADES = {
    "normalfundus": 0,
    "mildnonproliferativeretinopathy": 1,
    "moderatenonproliferativeretinopathy": 2,
    "severenonproliferativeretinopathy": 3,
    "proliferativediabeticretinopathy": 4,
    "severeproliferativediabeticretinopathy": 4,
}
_SEPARATORS = re.compile("[\uff0c,\u3001;\uff1b]")  # full-width comma, ideographic comma, full-width semicolon
_COLUMNS = {"left_diagnostic_keywords", "right_diagnostic_keywords", "left_fundus", "right_fundus"}


def grade_in(keywords: str) -> str:
    r"""Return the grade that the keywords of one eye tell, as text; ``""`` where they tell none.

    Examples
    --------
    >>> grade_in("lens dust\uff0cmoderate non proliferative retinopathy"), grade_in("suspected glaucoma")
    ('2', '')
    """
    words = (re.sub(r"[\s-]+", "", word.casefold()) for word in _SEPARATORS.split(keywords))
    grades = [_GRADES[word] for word in words if word in _GRADES]
    return str(max(grades)) if grades else ""


def _fits(table: Table) -> bool:
    return set(table.columns) >= _COLUMNS


def _rows(table: Table) -> Iterator[Row]:
    eyes = [
        (table.columns.index(f"{eye}_fundus"), table.columns.index(f"{eye}_diagnostic_keywords"))
        for eye in ("left", "right")
    ]
    patient = table.find("id", "patient_id")
    one_eye = table.find("filename")  # full_df.csv: the line of an eye says both, also where the other was dropped
    for line, cells in table.lines:
        meant = [] if one_eye is None else [eye for eye in eyes if cells[eye[0]] == cells[one_eye]]
        for name, keywords in meant or eyes:
            if cells[name]:
                group = cells[patient] if patient is not None else re.sub(r"_(left|right).*", "", cells[name])
                yield Row(table, line, cells[name], label=grade_in(cells[keywords]), group=group or None)


LAYOUT = Layout("odir", "a CSV with the columns Left-Fundus, Right-Fundus, Left-Diagnostic Keywords, ...", _fits, _rows)
