"""The picture of a benchmark: where an epoch's time goes, and the time after each epoch, in each way."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prebake.errors import OptionError
from prebake.files import atomic_path

if TYPE_CHECKING:
    import os

    from prebake.bench.result import BenchResult, Way

__all__ = ["require_picture", "save_picture"]

KINDS = (".png", ".svg", ".pdf")
# Okabe and Ito's colours, told apart whatever the reader's eyes
COLOURS = {
    "read": "#777777",
    "decode": "#D55E00",
    "preprocess": "#E69F00",
    "augment": "#0072B2",
    "copy": "#CC79A7",
    "step": "#D9D9D9",
}
LINES = {"photographs": "#D55E00", "published": "#0072B2", "prebake": "#000000"}
NAMES = {
    "photographs": "every epoch from\nthe photographs",
    "published": "packed and read\nas in 2019",
    "prebake": "prebake",
}
EPOCHS = 10
UNITS = ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))
INK = "#333333"


def require_picture(path: Path | None) -> None:
    """Refuse, before anything is measured, what cannot be drawn in the end.

    Raises
    ------
    OptionError
        The name has another ending.
    ModuleNotFoundError
        matplotlib is not installed.
    """
    if path is None:
        return
    if path.suffix.lower() not in KINDS:
        raise OptionError("the picture cannot be written so", expected=f"a name ending in {', '.join(KINDS)}", got=path)
    import matplotlib as mpl  # noqa: F401, PLC0415 - part of an extra


def save_picture(result: BenchResult, path: str | os.PathLike[str]) -> Path:
    """Draw a benchmark, whole or not at all.

    Parameters
    ----------
    result
        What was measured; with an epoch of at least one way.
    path
        The file to write: .png, .svg or .pdf.

    Raises
    ------
    OptionError
        The name has another ending; or no epoch was measured, and there is nothing to draw.
    """
    target = Path(path)
    require_picture(target)
    ways = [way for way in result.ways if result.epoch_parts(way)]
    if not ways:
        raise OptionError("there is nothing to draw: no epoch was measured", do="pip install 'prebake[train]'")
    from matplotlib.figure import Figure  # noqa: PLC0415 - part of an extra

    figure = Figure(figsize=(10, 4.2), dpi=150, layout="constrained")
    bars, lines = figure.subplots(1, 2, width_ratios=(1.25, 1))
    _draw_bars(bars, result, ways)
    _draw_lines(lines, result, ways)
    what = f"{result.count:,} photographs, {result.sampled} of them measured"
    model = f"; {result.model} on {result.device}" if result.model else ""
    figure.suptitle(
        f"{what}; recipe {result.recipe}, {result.size} px{model}; {result.workers} processes", size=9, color=INK
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as temporary:
        figure.savefig(temporary, format=target.suffix[1:].lower())
    return target


def _draw_bars(axes: Any, result: BenchResult, ways: list[Way]) -> None:
    longest = max(sum(result.epoch_parts(way).values()) for way in ways)
    for place, way in enumerate(ways):
        left, narrow = 0.0, []
        for stage, seconds in result.epoch_parts(way).items():
            axes.barh(place, 1000 * seconds, left=1000 * left, height=0.5, color=COLOURS[stage])
            name = "step of\nthe model" if stage == "step" else stage
            if seconds > 0.15 * longest:
                middle, ink = 1000 * (left + seconds / 2), "white" if stage in ("decode", "augment") else INK
                axes.text(middle, place, name, ha="center", va="center", size=8, color=ink)
            elif seconds > 0.01 * longest:
                narrow.append((stage, seconds))
            left += seconds
        axes.text(1000 * (left + 0.01 * longest), place, f"{1000 * left:,.1f} ms", va="center", size=9, color=INK)
        _name_narrow(axes, place, narrow)
    axes.set_yticks(range(len(ways)), [NAMES[way.name] for way in ways])
    axes.invert_yaxis()
    axes.set_xlim(0, 1150 * longest)
    axes.set_title("Where an epoch's time goes, ms a photograph", loc="left", size=10, color=INK)
    _plain(axes)


def _name_narrow(axes: Any, place: int, narrow: list[tuple[str, float]]) -> None:
    """Name below a bar what is too narrow for its name, each in its colour."""
    offset = 0.0
    for stage, seconds in narrow:
        text = f"{stage} {1000 * seconds:.1f}"
        axes.annotate(
            text, (0, place + 0.27), (offset, -1), textcoords="offset points", va="top", size=7.5, color=COLOURS[stage]
        )
        offset += 5.0 * len(text)


def _draw_lines(axes: Any, result: BenchResult, ways: list[Way]) -> None:
    costs = {cost.what: cost.seconds for cost in result.costs()}
    lines = {way.name: (costs["packing"][way.name] or 0.0, costs["one epoch"][way.name] or 0.0) for way in ways}
    ends = {name: packing + EPOCHS * epoch for name, (packing, epoch) in lines.items()}
    longest = max(ends.values())
    unit, unit_name = next((unit, name) for unit, name in UNITS if longest >= 2 * unit or unit == 1)
    below = -math.inf
    for name, end in sorted(ends.items(), key=lambda item: item[1]):
        axes.plot([0, EPOCHS], [lines[name][0] / unit, end / unit], color=LINES[name], lw=1.6, solid_capstyle="butt")
        below = max(end, below + 0.07 * longest)  # names do not cover each other
        axes.annotate(
            NAMES[name].replace("\n", " "), (EPOCHS, below / unit), (6, 0), textcoords="offset points", va="center",
            size=8, color=LINES[name], annotation_clip=False,
        )  # fmt: skip
    even, label = result.break_even(), "epochs"
    if even is not None and even <= EPOCHS:
        axes.plot([even], [even * lines["photographs"][1] / unit], "o", ms=5, color=LINES["prebake"], clip_on=False)
        label += f"   (\N{BLACK CIRCLE} packing with prebake has paid after {even:.1f})"
    axes.set_xticks([0, 1, 5, EPOCHS])
    axes.set_xlim(0, EPOCHS)
    axes.set_ylim(0, None)
    axes.set_xlabel(label, size=9, color=INK)
    axes.set_title(f"All {result.count:,}, packing and epochs, {unit_name}", loc="left", size=10, color=INK)
    _plain(axes)


def _plain(axes: Any) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#999999")
    axes.tick_params(labelsize=9, colors=INK, color="#999999")
