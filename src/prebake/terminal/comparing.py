"""What is said of comparisons: of two results, and of one recipe after another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from prebake.terminal.layout import aligned, photographs

if TYPE_CHECKING:
    from prebake.ablation import Ablation
    from prebake.comparison import Change, Compared

__all__ = ["ablated", "compared"]

NAMES = {"kappa": "kappa", "mae": "MAE", "accuracy": "accuracy", "referable_auc": "referable AUC"}


def compared(found: Compared) -> str:
    """Show each number of the two, its change with interval, and what that says in words."""
    lines = [["", "A", "B", "B - A", "95 % interval"]]
    lines += [[NAMES[name], *_cells(change)] for name, change in found.changes.items()]
    groups = f" in {found.groups:,} groups" if found.groups < found.photographs else ""
    alone = f"only A has {found.only_a:,} more, only B {found.only_b:,}"
    return "\n".join(
        [
            f"A: {found.a}",
            f"B: {found.b}",
            f"both have {photographs(found.photographs)}{groups}; {alone}",
            *aligned(lines),
            found.sentence,
            *(f"warning: {warning}" for warning in found.warnings),
        ]
    )


def ablated(found: Ablation) -> str:
    """Show what each recipe reached out of fold, its change to the first, and what that says in words."""
    lines = [["recipe", "kappa", "95 % interval", "change", "95 % interval"]]
    for variant in found.variants:
        reached, kappa = variant.reached, variant.compared.changes["kappa"] if variant.compared else None
        change = _cells(kappa)[2:] if kappa else ["", ""]
        lines.append([variant.recipe, _shown(reached.kappa), _ends(reached.low, reached.high, ""), *change])
    return "\n".join([*aligned(lines), *found.sentences, f"wrote {found.path / 'ablation.csv'}"])


def _cells(change: Change) -> list[str]:
    return [_shown(change.a), _shown(change.b), _shown(change.change, "+"), _ends(change.low, change.high, "+")]


def _ends(low: float, high: float, sign: str) -> str:
    return "-" if math.isnan(low) else f"{_shown(low, sign)} ... {_shown(high, sign)}"


def _shown(value: float, sign: str = "") -> str:
    return "-" if math.isnan(value) else f"{value:{sign}.3f}"
