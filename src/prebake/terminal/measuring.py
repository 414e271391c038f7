"""What is said of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from prebake.files import human_bytes
from prebake.terminal.layout import columns, duration, laid_out, wrapped

if TYPE_CHECKING:
    from rich.table import Table

    from prebake.bench import BenchResult
    from prebake.bench.result import Spread, Way

__all__ = ["benchmarked"]

STAGES = ("read", "decode", "preprocess", "augment", "copy", "step")
WAYS = {
    "photographs": "every epoch from\nthe photographs",
    "published": "packed and\nread as in 2019",
    "prebake": "prebake",
}
WAY_NAMES = {"photographs": "from the photographs", "published": "as in 2019", "prebake": "with prebake"}


def benchmarked(result: BenchResult) -> str:
    """Lay out a benchmark: where an epoch's time goes, what all photographs take, codecs, disk, what is slowest."""
    what = "images" if result.disk is None else "photographs"
    lines = [
        f"{result.source}: {result.count:,} {what}, {result.sampled} of them measured in {result.seconds:.0f} s",
        f"recipe {result.recipe}, {result.size} x {result.size}; {_trained_with(result)}",
        f"{result.machine}; {result.workers} process{'es' if result.workers > 1 else ''} each way",
        *(f"note: {note}" for note in result.notes),
    ]
    lines += [f"left out: {failure.id}  ({failure.path}): {failure.reason}" for failure in result.left_out]
    if any(result.epoch_parts(way) for way in result.ways):
        lines += ["", "An epoch, milliseconds for each photograph, as it ran", laid_out(_epoch_table(result))]
    if any(cost.seconds[way.name] is not None for cost in result.costs() for way in result.ways):
        title = f"All {result.count:,} {what}, in proportion to those measured"
        lines += ["", title, laid_out(_cost_table(result)), *_on_packing(result)]
    lines += ["", f"Baked images in each codec, on one core; the pack of all {result.count:,}"]
    lines += [laid_out(_codec_table(result)), f"--codec auto takes {result.codec}: {result.codec_reason}"]
    lines += ["", *_on_the_disk(result), *_on_bottlenecks(result)]
    return "\n".join(line for text in lines for line in wrapped(text))


def _trained_with(result: BenchResult) -> str:
    if result.model is None:
        return "no model"
    return f"{result.model} on {result.device}, batches of {result.batch_size}"


def _epoch_table(result: BenchResult) -> Table:
    table = columns("", *(WAYS[way.name] for way in result.ways))
    parts = [result.epoch_parts(way) for way in result.ways]
    for stage in STAGES:
        if any(stage in part for part in parts):
            cells = [_part(part, stage) for part in parts]
            table.add_row("step of the model" if stage == "step" else stage, *cells)
    table.add_row("whole", *(f"{1000 * sum(part.values()):,.1f} 100 %" if part else "-" for part in parts))
    wholes = [way.epoch or way.loading for way in result.ways]
    rounds = next(whole.rounds for whole in wholes if whole is not None)
    table.add_row(f"(least ... most of {rounds} rounds)", *(_range(whole) for whole in wholes))
    table.add_row("loading alone, images/s", *(_rate(way.loading) for way in result.ways))
    return table


def _part(parts: Mapping[str, float], stage: str) -> str:
    if stage not in parts:
        return "-"
    return f"{1000 * parts[stage]:,.1f} {100 * parts[stage] / sum(parts.values()):3.0f} %"


def _range(spread: Spread | None) -> str:
    return "-" if spread is None else f"{1000 * spread.low:,.1f} ... {1000 * spread.high:,.1f}"


def _rate(spread: Spread | None) -> str:
    return "-" if spread is None else f"{1 / spread.median:,.0f}" if spread.median < 0.1 else f"{1 / spread.median:.1f}"


def _cost_table(result: BenchResult) -> Table:
    table = columns("", *(WAYS[way.name] for way in result.ways))
    for cost in result.costs():
        table.add_row(cost.what, *(duration(cost.seconds[way.name]) for way in result.ways))
    return table


def _on_packing(result: BenchResult) -> list[str]:
    lines, even, way = [], result.break_even(), result.way("prebake")
    if even is not None:
        pays = "within the 1st epoch" if even <= 1 else f"after {even:.1f} epochs" if even < float("inf") else "never"
        lines.append(f"packing with prebake pays {pays}, against decoding in every epoch as in 2019")
    if way is not None and way.packing is not None and result.way("photographs") is not None:
        each = duration(way.packing.median * result.count)
        lines.append(f"baking with prebake itself, but anew in every epoch, would add up to {each} to each")
        if result.recipe != "kernel":
            lines.append(f"only prebake does recipe {result.recipe}; the other two preprocess as published in 2019")
    return lines


def _codec_table(result: BenchResult) -> Table:
    table = columns("", "size", "pack", "encode, images/s", "decode, images/s")
    for codec in result.codecs:
        size = human_bytes(codec.share * result.count * result.size**2 * 3)
        table.add_row(codec.name, f"{codec.share:.2f}", size, f"{codec.encode:,.0f}", f"{codec.decode:,.0f}")
    return table


def _on_the_disk(result: BenchResult) -> list[str]:
    disk = result.disk
    if disk is None:
        return []
    size = human_bytes(disk.total_bytes)
    fits = disk.total_bytes * 2 < disk.memory
    again = "only the first epoch has to" if fits else "they do not fit into memory, so every epoch has to"
    if disk.speed is None:
        return [f"disk: {size} of files; not measured, for the system kept the files in memory; {again} read them"]
    took = duration(disk.total_bytes / disk.speed)
    return [f"disk: {size} of files at {human_bytes(disk.speed)}/s, not from memory: {took}; {again} read them"]


def _on_bottlenecks(result: BenchResult) -> list[str]:
    lines = []
    for way in result.ways:
        found = result.bottleneck(way)
        if found is not None:
            lines.append(f"slowest {WAY_NAMES[way.name]}: {_slowest(*found)}{_advice(result, way, found[0])}")
    return lines


def _slowest(stage: str, share: float) -> str:
    return f"{'the step of the model' if stage == 'step' else stage}, {100 * share:.0f} % of an epoch"


def _advice(result: BenchResult, way: Way, stage: str) -> str:
    if way.name == "photographs" and stage in ("read", "decode", "preprocess"):
        return "; packing does that once"
    headroom = result.headroom()
    if way.name != "prebake" or headroom is None:
        return ""
    times = f"{headroom:,.1f}" if headroom < 10 else f"{headroom:,.0f}"
    rates = f"{_rate(way.loading)} images/s, the model takes {_rate(result.step)}"
    return f"; the loader alone gives {rates}: {times} times as many"
