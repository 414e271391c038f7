"""Runs of a tiny network that was never trained, photographs, and packs of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from prebake.config import TrainConfig
from prebake.models import build_model, save_weights
from prebake.recipe import Recipe
from prebake.runs import Run, RunWriter
from prebake.store import Header, PackWriter, Row

if TYPE_CHECKING:
    from prebake.records import Failure

MODEL, SIZE, COUNT = "test_efficientnet", 64, 11
RECIPE = Recipe.named("resize", SIZE)
TOLERANCE = 1e-4
THRESHOLDS = [0.5, 1.5, 2.5, 3.5]
INPUT = {"size": SIZE, "mean": [0.4, 0.3, 0.2], "std": [0.2, 0.3, 0.4], "fill": [0, 0, 0]}


def draw(folder: Path) -> Path:
    """Draw photographs of noise around a disc, each brighter than the one before."""
    rng = np.random.default_rng(0)
    for number in range(COUNT):
        image = np.full((90, 120, 3), 20 * number, np.uint8)
        cv2.circle(image, (60, 45), 10 + 3 * number, rng.integers(0, 256, 3).tolist(), -1)
        noise = rng.integers(0, 40, image.shape)
        cv2.imwrite(str(folder / f"eye{number:02}.png"), np.clip(image + noise, 0, 255).astype(np.uint8))
    return folder


def write_run(folder: Path, *, seed: int, recipe: Recipe | None = RECIPE, **info: object) -> Run:
    """Write a complete run; ``info`` replaces what its run.json says."""
    writer = RunWriter(folder)
    writer.write_config(TrainConfig(model=MODEL, weights="none", epochs=2))
    if recipe is not None:
        writer.write_recipe(recipe)
    torch.manual_seed(seed)
    model, _ = build_model(MODEL, "none", image_size=SIZE)
    with torch.no_grad():  # of a network that was never trained the values hardly differ: spread them over the grades
        model.train()(torch.randn(8, 3, SIZE, SIZE) * 2)
        values = model.eval()(torch.rand(16, 1, 1, 1) * 4 - 2 + torch.randn(16, 3, SIZE, SIZE))
        model.classifier.weight *= 1 / values.std()
        model.classifier.bias += 2 - values.mean() / values.std()
    save_weights(model.state_dict(), folder / "best.safetensors", {})
    facts = {"state": "complete", "model": MODEL, "packs": [], "input": INPUT, "thresholds": THRESHOLDS, "versions": {}}
    writer.write_info({**facts, **info})
    return Run(folder)


def write_pack(
    path: Path,
    photographs: Path,
    recipe: Recipe = RECIPE,
    failures: tuple[Failure, ...] = (),
    labels: list[float | None] | None = None,
    groups: list[str] | None = None,
) -> Path:
    """Bake photographs into a pack; without ``labels`` all are of grade 1."""
    header = Header(recipe.to_json(), recipe.digest, recipe.size, "raw", {})
    files = sorted(photographs.iterdir())
    with PackWriter(path, header, (recipe.size, recipe.size, 3), len(files)) as writer:
        for number, file in enumerate(files):
            baked = recipe.bake(file.read_bytes())
            label, group = labels[number] if labels else 1.0, groups[number] if groups else None
            about = ("", "", file.name, baked.width, baked.height, baked.to_source, "0" * 32, 1, 0)
            writer.add(Row(file.stem, label, group, *about), baked.image)
        for failure in failures:
            writer.fail(failure)
    return path
