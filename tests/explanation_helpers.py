"""Runs of networks whose right map is known: green raises the grade, blue lowers it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import timm
import torch
from PIL import Image
from torch import nn

from prebake.config import TrainConfig
from prebake.models import build_model, save_weights
from prebake.runs import Run, RunWriter

if TYPE_CHECKING:
    from prebake.recipe import Recipe

SIZE, CELL = 64, 8


class PatchFinder(nn.Module):
    """Sees green and blue in cells of 8 x 8 pixels; its value is 8 times their difference, plus 1."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 2, CELL, CELL)
        self.head = nn.Linear(2, 1)

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.stem(images))

    def forward_head(self, features: torch.Tensor) -> torch.Tensor:
        return self.head(features.mean((2, 3)))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.forward_head(self.forward_features(images))


class Stubborn(PatchFinder):
    """Shows the brightness, whatever its weights."""

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(images.mean(1, keepdim=True), CELL)

    def forward_head(self, features: torch.Tensor) -> torch.Tensor:
        return features.mean((2, 3)) + 0 * self.head.weight.sum()


@timm.models.register_model
def patch_finder(pretrained: bool = False, **_: Any) -> nn.Module:
    return PatchFinder()


@timm.models.register_model
def stubborn(pretrained: bool = False, **_: Any) -> nn.Module:
    return Stubborn()


def found_patches() -> dict[str, torch.Tensor]:
    """Return the weights with which a patch finder does what its name says."""
    network = PatchFinder()
    colours = torch.tensor([[-0.5, 1, -0.5], [-0.5, -0.5, 1]]) / CELL**2
    network.stem.weight.data = colours[:, :, None, None].repeat(1, 1, CELL, CELL)
    network.stem.bias.data.zero_()
    network.head.weight.data = torch.tensor([[8.0, -8.0]])
    network.head.bias.data.fill_(1)
    return network.state_dict()


def make_run(folder: Path, recipe: Recipe | None, *, model: str = "patch_finder", seed: int = 0) -> Run:
    """Write a complete run: the patch finder as it should be, any other model with random weights."""
    size = SIZE if recipe is None else recipe.size
    writer = RunWriter(folder)
    writer.write_config(TrainConfig(model=model, weights="none"))
    if recipe is not None:
        writer.write_recipe(recipe)
    torch.manual_seed(seed)
    state = found_patches() if model == "patch_finder" else build_model(model, "none", image_size=size)[0].state_dict()
    save_weights(state, folder / "best.safetensors", {})
    given = {"size": size, "mean": [0, 0, 0], "std": [1, 1, 1], "fill": [0, 0, 0]}
    cuts = [0.5, 1.5, 2.5, 3.5]
    facts = {"state": "complete", "model": model, "packs": [], "input": given, "thresholds": cuts, "versions": {}}
    writer.write_info(facts)
    return Run(folder)


def fundus(width: int, height: int, green: tuple[int, int], blue: tuple[int, int], side: int) -> np.ndarray:
    """Draw a grey disc, (H, W, 3) RGB, with a green and a blue square around two points (x, y)."""
    image = np.zeros((height, width, 3), np.uint8)
    cv2.circle(image, (width // 2, height // 2), min(width, height) // 2 - 4, (110, 110, 110), -1)
    for (x, y), colour in ((green, (40, 220, 40)), (blue, (40, 40, 220))):
        image[y - side // 2 : y + side // 2, x - side // 2 : x + side // 2] = colour
    return image


def save_jpeg(image: np.ndarray, path: Path, orientation: int = 1) -> Path:
    """Write a JPEG that shows ``image`` upright, its pixels stored turned as EXIF ``orientation`` tells."""
    turned = {1: image, 3: image[::-1, ::-1], 6: np.rot90(image), 8: np.rot90(image, -1)}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(turned)).save(path, quality=95, exif=exif)
    return path


def halved(image: np.ndarray) -> np.ndarray:
    """Be a recipe of the user, whose geometry nobody knows."""
    return cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
