"""The result half of the page: agreement in plain sentences, screening, calibration, referral."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from prebake import metrics
from prebake.metrics import BOUNDARIES, DEFAULT_THRESHOLDS
from prebake.metrics.ranking import SENSITIVITY, SPECIFICITY, ranking_names
from prebake.metrics.reliability import calibration_names
from prebake.report.crossval import figures
from prebake.report.findings import kappa_facts, tile
from prebake.report.pictures import bar
from prebake.report.words import interval_of, number, percent, with_interval

if TYPE_CHECKING:
    from prebake.metrics import Number, OperatingPoint
    from prebake.report.crossval.result import OutOfFold

__all__ = ["calibration", "headline", "in_short", "recalls", "referral", "screening", "trust"]

TITLES = {"referable": "Referable disease", "sight_threatening": "Sight-threatening disease"}
SHARES = (
    (
        "recall_",
        "How many of each label are recognised",
        "Recall: the share of a label's photographs that is given just that grade, with its interval.",
    ),
    (
        "precision_",
        "How often each grade is right",
        "Precision: the share of the photographs given a grade that is labelled so, with its interval.",
    ),
)
WHO = {"referable": "moderate or worse", "sight_threatening": "severe or worse"}


def headline(found: OutOfFold) -> dict[str, Any]:
    """Return kappa with its interval, a dot for each fold, and the tiles beside it."""
    summary, cv = found.summary, found.cv
    judged, result = found.judged, found.result
    count, near = len(judged), int((result.misses <= 1).sum())
    reason = result.reasons.get("kappa", "")
    facts = kappa_facts(summary.kappa, summary.low, summary.high, reason, [fold.kappa for fold in summary.folds])
    held, total = len(summary.folds), len(cv.folds) * cv.repeats
    times = f"{len(cv.folds)} folds" + (f", {cv.repeats} repeats" if cv.repeats > 1 else ", each trained once")
    hits = int((result.misses == 0).sum())
    tiles = [
        tile("Photographs", f"{count:,}", f"in {summary.groups:,} groups that stay together"),
        tile("Models", f"{held:,}" if held == total else f"{held:,} of {total:,}", times),
        tile("Graded as labelled", percent(hits / count), f"{hits:,} of {count:,} (accuracy)"),
        tile("At most one grade off", percent(near / count), f"{near:,} of {count:,}"),
    ]
    return {**facts, "tiles": tiles, "n": f"{count:,}", "dots": len(summary.folds) > 1}


def in_short(found: OutOfFold) -> list[str]:
    """Say in sentences what the model finds, how even the folds are, and what a referral would change."""
    sentences = []
    for name, boundary in BOUNDARIES.items():
        sensitivity, specificity = (found.numbers[each] for each in ranking_names(name)[3:])
        sentences.append(_found_sentence(name, boundary, sensitivity, specificity))
    kappas = [fold.kappa for fold in found.summary.folds if math.isfinite(fold.kappa)]
    if len(kappas) > 1:
        sentences.append(
            f"From fold to fold kappa lies between {number(min(kappas))} and {number(max(kappas))}: so much depends on "
            "which photographs are learnt from and which are graded."
        )
    return sentences


def _found_sentence(name: str, boundary: int, sensitivity: Number, specificity: Number) -> str:
    title = f"{TITLES[name]} (label {boundary} or more)"
    if sensitivity["value"] is None or specificity["value"] is None:
        return f"{title} cannot be judged: {sensitivity['reason'] or specificity['reason']}."
    hits, left = (round(each["value"] * each["n"]) for each in (sensitivity, specificity) if each["value"] is not None)
    return (
        f"{title}: of {sensitivity['n']:,} photographs with it, {hits:,} ({percent(sensitivity['value'])}) are found; "
        f"of {specificity['n']:,} without, {left:,} ({percent(specificity['value'])}) are rightly left alone."
    )


def trust(found: OutOfFold) -> list[str]:
    """Say how far the numbers can be trusted."""
    cv, count, groups = found.cv, len(found.judged), found.summary.groups
    by = "highest validation kappa" if cv.config.monitor == "val_kappa" else "lowest validation loss"
    notes = [
        (
            "Every photograph was graded by a model that had learnt neither from it nor from another of its group (the "
            "patient, where the packs name patients, and copies)."
        ),
        (
            f"Intervals draw these {groups:,} groups whole. They tell what other photographs of the same kind would "
            "change, not what another clinic or camera would."
        ),
        f"The best epoch of each fold was chosen on the fold's own photographs ({by}), which flatters a little.",
        (
            "One model graded each photograph. The mean of all of them, which prebake predict takes, is not judged "
            "here; it is usually a little better."
        ),
    ]
    if cv.repeats > 1:
        notes.append(
            f"Judged is the mean of a photograph's values over {cv.repeats} repeats, each with folds of its own."
        )
    if count < 200:
        notes.append(f"{count:,} photographs are few: expect the kappa of other photographs anywhere in the interval.")
    return notes


def recalls(found: OutOfFold) -> list[dict[str, Any]]:
    """Return, for recall and precision, a line for each grade with its share and a drawing of the interval."""
    return [
        {
            "title": title,
            "note": note,
            "lines": [
                {
                    "grade": name.removeprefix(start),
                    "n": f"of {each['n']:,}",
                    "value": percent(math.nan if each["value"] is None else each["value"]),
                    "interval": interval_of(each, percent),
                    "bar": None if each["value"] is None else _bar(each),
                    "alt": f"{title}, {name.removeprefix(start)}: {with_interval(each, percent)}",
                }
                for name, each in found.numbers.items()
                if name.startswith(start)
            ],
        }
        for start, title, note in SHARES
    ]


def _bar(found: Number) -> dict[str, str]:
    ends = (found["value"], found["low"], found["high"])
    value, low, high = (math.nan if end is None else end for end in ends)
    return bar(value, low, high)


def screening(found: OutOfFold) -> list[dict[str, Any]]:
    """Return, for each boundary, the ROC curve with three operating points and the numbers behind it."""
    judged, parts = found.judged, []
    for name, boundary in BOUNDARIES.items():
        area, specific, sensitive, sensitivity, specificity = (found.numbers[each] for each in ranking_names(name))
        part: dict[str, Any] = {
            "title": TITLES[name],
            "what": f"label {boundary} or more ({WHO[name]})",
            "reason": area["reason"],
        }
        parts.append(part)
        if area["value"] is None:
            continue
        cut = DEFAULT_THRESHOLDS[boundary - 1]
        points = [
            metrics.operating_point(judged.labels, judged.raw, boundary, hold="sensitivity", at=SENSITIVITY),
            metrics.operating_point(judged.labels, judged.raw, boundary, hold="specificity", at=SPECIFICITY),
            metrics.at_threshold(judged.labels, judged.raw, boundary, cut),
        ]
        auc = with_interval(area)
        fixed = [
            _point(
                "circle",
                f"sensitivity \N{GREATER-THAN OR EQUAL TO}\N{NO-BREAK SPACE}{100 * SENSITIVITY:g}\N{NO-BREAK SPACE}%",
                points[0],
                None,
                specific,
            ),
            _point(
                "square",
                f"specificity \N{GREATER-THAN OR EQUAL TO}\N{NO-BREAK SPACE}{100 * SPECIFICITY:g}\N{NO-BREAK SPACE}%",
                points[1],
                sensitive,
                None,
            ),
            _point("diamond", "the grades as given", points[2], sensitivity, specificity),
        ]
        chart = figures.roc_chart(metrics.roc(judged, boundary), points, title=f"ROC of {TITLES[name]}: AUC {auc}")
        part |= {"auc": auc, "sentence": _endpoints(specific), "chart": chart, "points": fixed, "reason": ""}
    return parts


def _endpoints(specific: Number) -> str:
    """Say whether both endpoints of the trial are reached at once, from the specificity at the sensitivity asked."""
    found = math.nan if specific["value"] is None else specific["value"]
    reached = "which meets both endpoints" if found >= SPECIFICITY else "which misses the endpoint of specificity"
    return (
        f"With a sensitivity of at least {percent(SENSITIVITY)}, specificity is {percent(found)} "
        f"({interval_of(specific, percent)}), {reached} of the trial named below."
    )


def _point(
    shape: str, name: str, point: OperatingPoint, sensitivity: Number | None, specificity: Number | None
) -> dict[str, str]:
    """Return a line of the table of operating points; the side that is held has no interval."""
    return {
        "shape": shape,
        "name": name,
        "threshold": number(point.threshold),
        "sensitivity": percent(point.sensitivity),
        "specificity": percent(point.specificity),
        "sensitivity_interval": interval_of(sensitivity, percent) if sensitivity else "held",
        "specificity_interval": interval_of(specificity, percent) if specificity else "held",
    }


def calibration(found: OutOfFold) -> list[dict[str, Any]]:
    """Return, for each boundary, the reliability diagram of its probability with calibration error and Brier score."""
    parts = []
    for name, boundary in BOUNDARIES.items():
        table = metrics.reliability(found.judged, boundary)
        brier, ece = (found.numbers[each] for each in calibration_names(name))
        part: dict[str, Any] = {"title": f"P(grade \N{GREATER-THAN OR EQUAL TO} {boundary})", "reason": table.reason}
        parts.append(part)
        if table.reason:
            continue
        title = f"Reliability of the probability of label {boundary} or more: calibration error {with_interval(ece)}"
        columns = (table.promised, table.happened, table.low, table.high, table.counts)
        part |= {
            "chart": figures.reliability_chart(table, title=title),
            "ece": with_interval(ece, lambda value: number(value, 3)),
            "brier": with_interval(brier, lambda value: number(value, 3)),
            "rows": [
                [percent(promised), percent(happened), f"{percent(low)} to {percent(high)}", f"{count:,}"]
                for promised, happened, low, high, count in zip(*columns, strict=True)
            ],
        }
    return parts


def referral(found: OutOfFold) -> dict[str, Any]:
    """Return kappa against the share that goes to a human, in a chart, a sentence and a table."""
    curve = metrics.referral_curve(found.judged, metrics.doubt(found.judged.raw))
    if curve.reason:
        return {"reason": curve.reason}
    at = int(np.argmin(np.abs(curve.shares - 0.2)))
    sentence = (
        f"If the {percent(curve.shares[at])} least certain photographs went to a human, the {curve.left[at]:,} others "
        f"would have kappa {number(curve.kappa[at])} ({_ends(curve.kappa_low[at], curve.kappa_high[at])}) instead of "
        f"{number(curve.kappa[0])}; with as many chosen at random it would be {number(curve.random_kappa[at])} "
        f"({_ends(curve.random_low[at], curve.random_high[at])})."
    )
    columns = (curve.shares, curve.left, curve.kappa, curve.kappa_low, curve.kappa_high, curve.accuracy)
    rows = [
        [
            percent(share) if share else "none",
            f"{left:,}",
            number(kappa),
            _ends(low, high),
            percent(accuracy),
            number(chance),
        ]
        for share, left, kappa, low, high, accuracy, chance in zip(*columns, curve.random_kappa, strict=True)
    ][::2]
    return {"reason": "", "chart": figures.referral_chart(curve, title=sentence), "sentence": sentence, "rows": rows}


def _ends(low: float, high: float) -> str:
    return f"{number(low)} to {number(high)}"
