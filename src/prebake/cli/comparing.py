"""The verbs that tell which of two or more is better."""

from __future__ import annotations

from pathlib import Path

from prebake import terminal
from prebake.cli.options import Json, Layout, Output
from prebake.cli.train_options import PRESET_VALUES, Options, Preset, config_of

__all__ = ["ablate", "compare"]


def compare(run_a: Path, run_b: Path, /, *, json_: Json = False) -> None:
    """Tell whether B is better than A on the photographs that both have, and whether by more than noise.

    Both are judged in the same bootstrap draws of whole groups (patients and copies). Photographs are found by id, so
    the packs may have been baked with different recipes.

    Parameters
    ----------
    run_a
        A run (its validation photographs), a cross-validation (out of fold), or a CSV of predictions with labels.
    run_b
        The same, in any mix.
    json_
        Print JSON for scripts instead of a table.
    """
    from prebake.comparison import compare as run_compare

    found = run_compare(run_a, run_b)
    terminal.say(terminal.as_json(found.to_dict()) if json_ else terminal.compared(found))


def ablate(
    *sources: str,
    output: Output,
    recipes: str,
    folds: int = 5,
    size: int | None = None,
    labels: str | None = None,
    layout: Layout = "auto",
    preset: Preset = "default",
    options: Options = PRESET_VALUES,
) -> None:
    """Cross-validate with one recipe after another, the same folds and seed each, and compare them with the first.

    Everything goes into one folder: packs, folds, cross-validations, ablation.csv. Interrupted, the same command goes
    on where it was. Every option of train replaces one value of the preset.

    Parameters
    ----------
    sources
        Photographs, as for prebake pack.
    output
        The folder to write.
    recipes
        Two or more as for prebake pack, with commas between: kernel,crop. The others are compared with the first.
    folds
        How many folds to make, with --seed.
    size
        Side of the square baked images, in pixels; 256, or what a .json recipe brings.
    labels
        The CSV with ids and labels, where it is not the one that lies with the photographs.
    layout
        How photographs and labels lie in the source; auto recognises the published datasets.
    preset
        kernel: the published 2019 training exactly. default: what the evidence favours today.
    """
    from prebake.ablation import ablate as run_ablate

    found = run_ablate(
        sources,
        output,
        recipes.split(","),
        config_of(preset, options),
        folds=folds,
        size=size,
        labels=labels,
        layout=layout,
        done=lambda run: terminal.say(terminal.best(run)),
    )
    terminal.say(terminal.ablated(found))
