"""Recipes: the published one bit for bit, identity, refusals, geometry."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prebake.recipe import Recipe


def golden_rows(golden: Path, idrid: Path) -> list[tuple[dict[str, Any], bytes]]:
    folder = idrid / "1. Original Images" / "a. Training Set"
    rows = json.loads((golden / "kernel.json").read_text())["rows"]
    paths = [folder / f"{r['id']}.jpg" if r["kind"] == "idrid" else golden / "hard" / f"{r['id']}.png" for r in rows]
    return [(row, path.read_bytes()) for row, path in zip(rows, paths, strict=True)]


@pytest.mark.parametrize(("size", "key"), [(256, "sha256"), (512, "sha256_512")])
def test_the_kernel_recipe_equals_the_published_outputs_bit_for_bit(
    golden: Path, idrid: Path, size: int, key: str
) -> None:
    recipe = Recipe.named("kernel", size)
    wrong = [
        row["id"]
        for row, data in golden_rows(golden, idrid)
        if hashlib.sha256(recipe.bake(data).image.tobytes()).hexdigest() != row[key]
    ]
    assert wrong == []


def test_the_stored_golden_pixels_are_what_the_kernel_recipe_gives(golden: Path, idrid: Path) -> None:
    stored = np.load(golden / "kernel_256.npz")
    images = dict(zip(stored["ids"].tolist(), stored["images"], strict=True))
    recipe = Recipe.named("kernel", 256)
    for row, data in golden_rows(golden, idrid)[::3]:
        np.testing.assert_array_equal(recipe.bake(data).image, images[row["id"]])
