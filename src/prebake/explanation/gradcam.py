"""Grad-CAM for the number that a network gives, on its last feature map (Selvaraju et al. 2017).

A network of timm is features, then a head; the gradient is only taken through the head, so a map costs little more than
a prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from captum.attr import LayerGradCam
from torch import nn

from prebake.errors import RunError
from prebake.models import build_model, choose_device, load_run_model

if TYPE_CHECKING:
    import numpy.typing as npt

    from prebake.runs import Run

__all__ = ["Ensemble", "GradCam"]

BATCH = 8
WORKING = "a convolutional model, such as tf_efficientnet_lite0, resnet50, convnext_tiny or densenet121, or a Swin"
_TOLERANCE = 1e-4


class _Head(nn.Module):
    """What a network makes of its last feature map; ``place`` is where captum looks at that map, (B, C, h, w)."""

    def __init__(self, network: nn.Module, *, channels_last: bool) -> None:
        super().__init__()
        self.network = network
        self.place = nn.Identity()
        self.channels_last = channels_last

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        features = self.place(features).clone()  # a head may work in place
        result: torch.Tensor = self.network.forward_head(  # type: ignore[operator]
            features.permute(0, 2, 3, 1) if self.channels_last else features
        )
        return result


class GradCam:
    """The maps of one network.

    Parameters
    ----------
    run
        The run whose best weights are used, in 32-bit floating point.
    device
        Where it runs.
    random
        Random weights drawn with this seed instead of the trained ones: what a check compares with.

    Attributes
    ----------
    grid : tuple of int
        ``(h, w)`` of its feature map: what lies in one cell cannot be told apart.

    Raises
    ------
    RunError
        The network has no feature map (a plain vision transformer), one of a single cell, or gives no single number.
    """

    def __init__(self, run: Run, device: torch.device, random: int | None = None) -> None:
        self._run, self._device = run, device
        self._size = int(run.info["input"]["size"])
        self._network = (load_run_model(run) if random is None else _random_model(run, random)).to(device)
        self._network.requires_grad_(requires_grad=False)
        self._mean, self._std = (
            torch.tensor(run.info["input"][key], dtype=torch.float32, device=device).reshape(1, 3, 1, 1)
            for key in ("mean", "std")
        )
        self._channels_last = getattr(self._network, "output_fmt", None) == "NHWC"
        self._head = _Head(self._network, channels_last=self._channels_last)
        self._cam = LayerGradCam(self._head, self._head.place)
        self.grid = self._probe()

    def maps(
        self, images: npt.NDArray[np.uint8], ids: Sequence[str]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return raw values and maps of one batch.

        Parameters
        ----------
        images
            (B, S, S, 3) uint8, RGB, as the recipe of the run bakes them.
        ids
            The B ids, for errors.

        Returns
        -------
        raw
            (B,) float32.
        maps
            (B, S, S) float32, in grades: each channel of the feature map times its mean gradient, summed (positive:
            towards a higher grade), times the number of cells, enlarged bilinearly. Where pooling and one linear layer
            follow, the mean of a map is the raw value without the layer's constant.

        Raises
        ------
        RunError
            The network gives something that is not a finite number.
        """
        pixels = torch.from_numpy(images).to(self._device).permute(0, 3, 1, 2)
        features = self._features((pixels.to(torch.float32) / 255 - self._mean) / self._std)
        with torch.no_grad():
            raw = self._head(features).float().cpu().numpy().reshape(len(ids))
        cells = self._cam.attribute(features.requires_grad_(), target=0, relu_attributions=False)
        scaled = cells[:, 0].detach().float().cpu().numpy() * np.float32(np.prod(self.grid))
        bad = np.flatnonzero(~np.isfinite(raw) | ~np.isfinite(scaled).all(axis=(1, 2)))
        if bad.size:
            raise RunError(
                f"the model of {self._run.path} gives no finite numbers for {ids[bad[0]]}",
                do="train again with a lower learning rate, or in 32-bit precision",
            )
        size = (self._size, self._size)
        return raw, np.stack([cv2.resize(one, size, interpolation=cv2.INTER_LINEAR) for one in scaled])

    def _features(self, images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            features: torch.Tensor = self._network.forward_features(images)  # type: ignore[operator]
        return features.permute(0, 3, 1, 2).contiguous() if self._channels_last else features

    def _probe(self) -> tuple[int, int]:
        """Try the network on one grey image: that it has a feature map, that the head follows it, gives one number."""
        model, where = self._run.info["model"], f"the model of {self._run.path}"
        image = torch.full((1, 3, self._size, self._size), 0.1, device=self._device)
        parts = hasattr(self._network, "forward_features") and hasattr(self._network, "forward_head")
        features = self._features(image) if parts else None
        if not isinstance(features, torch.Tensor) or features.ndim != 4:
            raise RunError(
                f"{where}, {model}, has no feature map that Grad-CAM could show",
                expected=WORKING,
                got="no features apart from a head" if features is None else f"features {tuple(features.shape)}",
                do="train one of these: prebake train PACK -o RUN --model tf_efficientnet_lite0",
            )
        height, width = features.shape[2:]
        if height * width == 1:
            raise RunError(
                f"{where}, {model}, sees images of {self._size} x {self._size} pixels as a single place",
                expected="a feature map of 2 x 2 cells or more",
                do="pack with a larger --size and train again",
            )
        with torch.no_grad():
            whole, alone = self._network(image), self._head(features)
        if whole.numel() != 1:
            raise RunError(f"{where} does not predict grades", expected="one number", got=tuple(whole.shape[1:]))
        if not torch.allclose(whole.flatten(), alone.flatten(), rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True):
            raise RunError(f"{where}, {model}, is not its features followed by its head", expected=WORKING)
        return int(height), int(width)


class Ensemble:
    """The maps of one or several networks, on average.

    Parameters
    ----------
    runs
        At least one.
    device
        As in :func:`prebake.prediction.predict`.
    random
        As in :class:`GradCam`; each network gets a seed of its own.
    """

    def __init__(self, runs: Sequence[Run], device: str = "auto", random: int | None = None) -> None:
        chosen = choose_device(device)
        seeds = [None if random is None else random * len(runs) + number for number in range(len(runs))]
        self._members = [GradCam(run, chosen, seed) for run, seed in zip(runs, seeds, strict=True)]

    @property
    def grid(self) -> tuple[int, int]:
        """The coarsest feature map among the networks."""
        return min(member.grid for member in self._members)

    def maps(
        self, images: npt.NDArray[np.uint8], ids: Sequence[str]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return raw values (N,) and maps (N, S, S), means over the networks; a few images are at work at a time."""
        raw, maps = np.empty(len(ids), np.float32), np.empty(images.shape[:3], np.float32)
        for start in range(0, len(ids), BATCH):
            part = slice(start, start + BATCH)
            found = [member.maps(images[part], ids[part]) for member in self._members]
            raw[part] = np.mean([one for one, _ in found], axis=0, dtype=np.float64)
            maps[part] = np.mean([one for _, one in found], axis=0, dtype=np.float64)
        return raw, maps


def _random_model(run: Run, seed: int) -> nn.Module:
    """Build the model of a run with first weights drawn anew; torch's own random state stays as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, _ = build_model(str(run.info["model"]), "none", image_size=int(run.info["input"]["size"]))
    return model.eval()
