"""What is said of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prebake.files import human_bytes
from prebake.terminal.layout import columns, counted, duration, laid_out, photographs, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from prebake.bench import Plan

__all__ = ["planned"]

TASKS = {"reading": "reading photographs", "baking": "baking", "merging": "merging and checking"}
ADVICE = {
    "reading": "faster storage, or photographs spread over more of it (--read-speed says what it gives)",
    "baking": "more --workers",
    "merging": "it is the work of one process: divide the photographs",
}


def planned(plan: Plan) -> str:
    """Lay out a plan: what was measured, the work with each codec, the first bottleneck and what to change."""
    rates = plan.rates
    read = "unknown (files stay in memory)" if rates.read_speed is None else f"{human_bytes(rates.read_speed)}/s"
    baking = f"baked in {1000 * rates.bake:.1f} ms on one core"
    lines = [
        f"{plan.source}: {photographs(rates.sampled)} measured; recipe {plan.recipe}, {plan.size} x {plan.size}",
        f"a file: {human_bytes(rates.photograph_bytes)}, {baking}; reading: {read}",
        "",
        f"{photographs(plan.images)}, {human_bytes(plan.source_bytes)}, baked on {counted(plan.workers, 'core')}",
        laid_out(_table(plan)),
        "",
        "Reading and baking go on at the same time. Until the end the disk holds the parts beside the pack.",
        *_on_bottlenecks(plan),
    ]
    useful = plan.useful_workers
    if useful is not None and useful < plan.workers:
        lines.append(f"More than {counted(useful, 'core')} would wait for photographs at this speed of reading.")
    needed = f"{human_bytes(plan.driver_memory)} of memory besides its workers"
    if plan.driver_memory > plan.memory / 2:
        here = f"this machine has {human_bytes(plan.memory)}"
        lines.append(f"One command for all takes {needed}, {here}: divide the photographs.")
    return "\n".join(line for text in lines for line in wrapped(text))


def _table(plan: Plan) -> Table:
    table = columns("", *(packing.codec for packing in plan.packings))
    for number, name in enumerate(TASKS.values()):
        table.add_row(name, *(duration(packing.tasks[number].seconds) for packing in plan.packings))
    table.add_row("packing in all", *(duration(packing.seconds) for packing in plan.packings))
    table.add_row("size of the pack", *(human_bytes(packing.pack_bytes) for packing in plan.packings))
    table.add_row("an epoch: reading it", *(duration(packing.streaming) for packing in plan.packings))
    decoding = f"an epoch: decoding it on {counted(plan.cores, 'core')}"
    table.add_row(decoding, *(duration(packing.epoch) for packing in plan.packings))
    return table


def _on_bottlenecks(plan: Plan) -> Iterator[str]:
    """Say what takes longest with which codec, and which setting changes that."""
    for name, what in TASKS.items():
        slowest = [packing for packing in plan.packings if packing.bottleneck.name == name]
        if slowest:
            yield f"Slowest with {', '.join(packing.codec for packing in slowest)}: {what}; {ADVICE[name]}."
    shards = max(packing.shards for packing in plan.packings)
    if shards > 1:
        share = f"{shards:,} shares of {-(-plan.images // shards):,}"
        yield f"In {share}, packed side by side, merging takes no longer than the rest; give all packs to the loader."
