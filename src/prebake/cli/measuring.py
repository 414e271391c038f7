"""The verbs that show what prebake does: measured on your photographs, and as a whole on generated ones."""

from __future__ import annotations

from pathlib import Path

from prebake import terminal
from prebake.cli.options import Json, MaybeOutput, Output, Workers

__all__ = ["bench", "demo", "plan"]


def bench(
    source: str,
    /,
    *,
    recipe: str = "kernel",
    size: int | None = None,
    photographs: int = 32,
    model: str = "efficientnet_b0",
    batch_size: int = 32,
    workers: Workers = None,
    json_: Json = False,
    output: MaybeOutput = None,
) -> None:
    """Measure where an epoch's time goes on your photographs and machine, and after how many epochs packing pays.

    A sample is packed and trained on three ways, in turn, with as many processes: decoding in every epoch, packed as
    published in 2019, and with prebake. Takes two to five minutes; nothing is written beside your photographs.

    Parameters
    ----------
    source
        A folder, .zip or .tar file of photographs; or a pack or quoted pattern ("NAME-*.h5"), of which only
        the loading is measured.
    recipe
        How prebake bakes, as for pack; the two other ways always do the preprocessing published in 2019.
    size
        Side of the square baked images, in pixels; 256, or what a .json recipe brings.
    photographs
        How many are measured, evenly spread over the source.
    model
        The model of timm whose step is measured; its weights are random.
    batch_size
        Photographs in one step.
    workers
        Processes that pack and load, the same number each way; all cores without it, at most 8.
    json_
        Print JSON for scripts instead of tables.
    output
        Draw the result into a picture: .png, .svg or .pdf.
    """
    from prebake.bench import measure
    from prebake.bench.picture import require_picture, save_picture

    require_picture(output)
    result = measure(
        source,
        recipe=recipe,
        size=size,
        photographs=photographs,
        model=model,
        batch_size=batch_size,
        workers=workers,
    )
    terminal.say(terminal.as_json(result.to_dict()) if json_ else terminal.benchmarked(result))
    if output is not None:
        save_picture(result, output)


def plan(
    source: str,
    /,
    *,
    images: int | None = None,
    workers: Workers = None,
    recipe: str = "kernel",
    size: int | None = None,
    photographs: int = 16,
    read_speed: float | None = None,
    json_: Json = False,
) -> None:
    """Work out what packing very many photographs takes, from a few of yours: time, disk, memory, the first bottleneck.

    Takes less than a minute; nothing is kept. Everything is in proportion to what is measured on this machine.

    Parameters
    ----------
    source
        A folder, .zip or .tar file of photographs.
    images
        How many there will be; as many as the source has without it.
    workers
        Cores that bake, on all machines together; those of this machine without it.
    recipe
        How they are baked, as for pack.
    size
        Side of the square baked images, in pixels; 256, or what a .json recipe brings.
    photographs
        How many are measured, evenly spread over the source.
    read_speed
        Megabytes a second that the storage gives all workers together; what one process reads here without it.
    json_
        Print JSON for scripts instead of a table.
    """
    from prebake.bench import plan as run_plan

    found = run_plan(
        source,
        images=images,
        workers=workers,
        recipe=recipe,
        size=size,
        photographs=photographs,
        read_speed=None if read_speed is None else read_speed * 1e6,
    )
    terminal.say(terminal.as_json(found.to_dict()) if json_ else terminal.planned(found))


def demo(*, output: Output = Path("prebake-demo")) -> None:
    """Run the whole job on generated photographs: pack, train, predict, report. Under three minutes on two cores.

    Parameters
    ----------
    output
        The folder to write everything into.
    """
    from prebake.demo import demo as run_demo

    result = run_demo(output, say=terminal.say)
    terminal.say(f"open this in a browser: {result.report}")
