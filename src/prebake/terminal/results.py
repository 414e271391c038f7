"""What is said of what a run gives: predictions, and explanations of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prebake.terminal.layout import aligned, photographs

if TYPE_CHECKING:
    from pathlib import Path

    from prebake.explanation import Explanation
    from prebake.prediction import Predictions

__all__ = ["explained", "predicted"]


def predicted(predictions: Predictions, output: Path) -> str:
    """Sum up predictions: how many of each grade, how they agree with labels, and what could not be read."""
    table = predictions.table()
    counts = table["diagnosis"].value_counts().sort_index()
    lines = [f"{output}: {photographs(len(table))}; " + ", ".join(f"grade {g}: {n:,}" for g, n in counts.items())]
    if predictions.failures:
        lines.append(f"{photographs(len(predictions.failures))} could not be read:")
        lines += [f"  - {failure.id}  ({failure.path}): {failure.reason}" for failure in predictions.failures]
    if predictions.labelled:
        lines += _on_labels(predictions)
    return "\n".join(lines)


def _on_labels(predictions: Predictions) -> list[str]:
    """Say how predictions agree with labels, and what is left of errors when the least certain go to a human."""
    curve = predictions.referral([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    judged = f"{photographs(len(predictions.judged()))} with a label"
    if curve.reason:
        return [f"{judged}: kappa is undefined: {curve.reason}"]
    lines = [["referred", "left", "kappa", "95 % interval", "accuracy", "kappa if random"]]
    columns = (curve.shares, curve.left, curve.kappa, curve.kappa_low, curve.kappa_high, curve.accuracy)
    for row in zip(*columns, curve.random_kappa, strict=True):
        share, left, kappa, low, high, accuracy, chance = row
        ends = f"{low:.3f} ... {high:.3f}"
        lines.append([f"{share:.0%}", f"{left:,}", f"{kappa:.3f}", ends, f"{accuracy:.0%}", f"{chance:.3f}"])
    return [
        f"{judged}: kappa {lines[1][2]} ({lines[1][3]}), accuracy {lines[1][4]}",
        f"of those left when the least certain go to a human, by {predictions.uncertainty()[0]}:",
        *aligned(lines),
    ]


def explained(explanation: Explanation, output: Path) -> str:
    """Say in a line what the model says of a photograph, and where the picture of its reasons lies."""
    return f"{explanation.id}: grade {explanation.diagnosis}, raw value {explanation.raw:.2f}: {output}"
