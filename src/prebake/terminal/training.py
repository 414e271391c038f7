"""What is said of a training, of a cross-validation, and of the thresholds fitted to one."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from prebake.terminal.layout import aligned, photographs

if TYPE_CHECKING:
    from pathlib import Path

    from prebake.metrics import ThresholdGain
    from prebake.runs import CrossValidation, Run

__all__ = ["best", "cross_validated", "threshold_gain", "trained"]


def best(run: Run) -> str:
    """Say what the best epoch of a finished run reached."""
    row = run.best()
    return (
        f"{run.path}: best epoch {row['epoch']:.0f} of {len(run.metrics())}, validation loss {row['val_loss']:.4f}, "
        f"kappa {row['val_kappa']:.3f}{_waited(run)}"
    )


def _waited(run: Run) -> str:
    share = run.waiting()
    return "" if share is None else f"; waited for data {share:.1%} of the time"


def trained(run: Run) -> str:
    """Sum up a finished run: its best epoch and what can be done with it."""
    return f"{best(run)}\nnext: prebake report {shlex.quote(str(run.path))}    {_predict(run.path)}"


def cross_validated(cv: CrossValidation) -> str:
    """Show what each fold reached, what all of them reached out of fold, and the command that uses the result."""
    missing = cv.missing()
    if missing:
        total = len(cv.folds) * cv.repeats
        names = ", ".join(path.relative_to(cv.path).as_posix() for path in missing)
        return f"{cv.path}: {total - len(missing)} of {total} folds are complete; missing: {names}"
    found = cv.summary()
    lines = [["fold", "photographs", "best epoch", "kappa", "MAE"]]
    for score in found.folds:
        name = f"{score.repeat}/{score.fold}" if cv.repeats > 1 else str(score.fold)
        lines.append([name, f"{score.photographs:,}", str(score.best_epoch), f"{score.kappa:.3f}", f"{score.mae:.3f}"])
    whole = f"kappa {found.kappa:.3f} ({found.low:.3f} ... {found.high:.3f}, 95 % interval), MAE {found.mae:.3f}"
    groups = f" in {found.groups:,} groups" if found.groups < found.photographs else ""
    text = [*aligned(lines), f"out of fold: {whole}; {photographs(found.photographs)}{groups}"]
    if cv.repeats > 1:
        each = ", ".join(f"{kappa:.3f}" for kappa in found.repeats)
        text.append(f"that is the mean of {cv.repeats} repeats; each by itself: kappa {each}")
    name = shlex.quote(str(cv.path))
    return "\n".join([*text, f"next: prebake report {name}    prebake thresholds {name}    {_predict(cv.path)}"])


def threshold_gain(gain: ThresholdGain, run: Path) -> str:
    """Show default and fitted thresholds, what each gives, and whether the difference is more than noise."""
    lines = [["", "kappa", "thresholds"]]
    for name, kappa, cuts in (
        ("default", gain.kappa_default, gain.default),
        ("fitted", gain.kappa_fitted, gain.thresholds),
    ):
        lines.append([name, f"{kappa:.3f}", "  ".join(f"{cut:.3f}" for cut in cuts)])
    return "\n".join(
        [
            *aligned(lines),
            "kappa of the fitted ones is honest: every photograph is graded by thresholds fitted without its part",
            gain.sentence,
            f"next: {_predict(run)}" + (" --thresholds" if gain.worthwhile else ""),
        ]
    )


def _predict(run: Path) -> str:
    return f"prebake predict {shlex.quote(str(run))} PHOTOGRAPHS -o predictions.csv"
