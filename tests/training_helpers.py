"""Small packs whose label can be seen, and a training of seconds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.torch
import torch

from prebake.config import TrainConfig
from prebake.recipe import Recipe
from prebake.store import Header, PackWriter, Row

if TYPE_CHECKING:
    from prebake.runs import Run

SIZE = 32


def make_pack(path: Path, rows: int = 40, *, recipe: str = "crop", seed: int = 0, **columns: Any) -> Path:
    """Write a pack of noise around a brightness that grows with the label; ``columns`` replace columns of its rows."""
    made, rng = Recipe.named(recipe, SIZE), np.random.default_rng(seed)
    header = Header(made.to_json(), made.digest, size=SIZE, codec="raw")
    labels = columns.get("labels", [float(row % 5) for row in range(rows)])
    groups = columns.get("groups", [None] * rows)
    digests = columns.get("digests", [f"{seed:016x}{row:016x}" for row in range(rows)])
    splits = columns.get("splits", ["train"] * rows)
    geometry = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    with PackWriter(path, header, (SIZE, SIZE, 3), capacity=rows) as writer:
        for row in range(rows):
            bright = 60 + 40 * (labels[row] or 0)
            image = np.clip(rng.normal(bright, 25, (SIZE, SIZE, 3)), 0, 255).astype(np.uint8)
            name = f"p{row:03}"
            about = ("s", splits[row], f"{name}.png", SIZE, SIZE, geometry, digests[row], 100, row)
            writer.add(Row(name, labels[row], groups[row], *about), image)
    return path


def tiny(**changes: Any) -> TrainConfig:
    """Return a configuration that trains in about a second and has everything random in it."""
    base = {"model": "test_efficientnet", "weights": "none", "epochs": 2, "batch_size": 8, "threads": 1}
    return TrainConfig(**{**base, "warmup": 0.5, "lr": 3e-3, "dropout": 0.2, "val_fraction": 0.2, **changes})


def weights(run: Run, name: str = "best") -> dict[str, torch.Tensor]:
    """Return the tensors of a run."""
    return safetensors.torch.load_file(run.path / f"{name}.safetensors")


def require_equal(one: Run, other: Run) -> None:
    """All numbers are the same to the last bit."""
    for name in ("best", "last"):
        mine, theirs = weights(one, name), weights(other, name)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(tensor, theirs[key]) for key, tensor in mine.items()), name
    timed = ["seconds", "waiting"]
    assert one.metrics().drop(columns=timed).equals(other.metrics().drop(columns=timed))
    for name in ("validation.csv", "split.csv", "config.json"):
        assert (one.path / name).read_bytes() == (other.path / name).read_bytes(), name
