"""The networks that predict together, all loaded onto one device, and what they say of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from prebake.errors import MissingExtra, RunError
from prebake.prediction.views import VIEWS, views

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

    from prebake.runs import Run

__all__ = ["Ensemble"]


@dataclass(frozen=True)
class _Member:
    """One run, loaded: its network on the device, and what each channel of its input is normalised with."""

    name: str
    network: torch.nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Ensemble:
    """The networks of one or several runs with their best weights, in evaluation mode, in 32-bit floating point.

    All of them stay in the memory of the device; of one batch at a time there are the images, and one view of them.

    Parameters
    ----------
    runs
        The runs; at least one.
    device
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; ``"auto"`` takes what the machine has.
    tta
        Whether every network sees all views of :mod:`prebake.prediction.views`, or only the image as it is.

    Raises
    ------
    MissingExtra
        torch is not installed.
    OptionError
        The device cannot be used.
    RunError, WeightsError
        A run is not complete, or its weights do not fit its model.
    """

    def __init__(self, runs: Sequence[Run], device: str = "auto", *, tta: bool = False) -> None:
        self._torch = _torch()
        from prebake.models import choose_device  # noqa: PLC0415 - loads torch

        self._device = choose_device(device)
        self._tta = tta
        self._members = [self._load(run) for run in runs]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of networks, and of views that each of them sees."""
        return len(self._members), VIEWS if self._tta else 1

    def _load(self, run: Run) -> _Member:
        from prebake.models import load_run_model  # noqa: PLC0415 - loads torch
        from prebake.prediction.fusing import fused  # noqa: PLC0415

        network, given = load_run_model(run), run.info["input"]
        if self._device.type == "cpu":
            network = fused(network, given["size"])
        network = network.to(self._device).to(memory_format=self._torch.channels_last).eval()
        return _Member(str(run.path), network, tuple(given["mean"]), tuple(given["std"]))

    def raw(self, images: npt.NDArray[np.uint8], ids: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the raw values of one batch.

        Parameters
        ----------
        images
            (B, H, W, 3) uint8, RGB, as the recipe of the runs bakes them.
        ids
            The B ids, for errors.

        Returns
        -------
        (R, V, B) float32: of each run and view.

        Raises
        ------
        RunError
            A network gives something that is not a finite number.
        """
        torch = self._torch
        found = np.empty((*self.shape, len(ids)), dtype=np.float32)
        with torch.inference_mode():
            pixels = torch.from_numpy(images).to(self._device).permute(0, 3, 1, 2)
            scaled = pixels.to(torch.float32, memory_format=torch.channels_last) / 255
            for mean, std in dict.fromkeys((member.mean, member.std) for member in self._members):
                ready = (scaled - self._channels(mean)) / self._channels(std)
                for view, turned in enumerate(views(ready) if self._tta else (ready,)):
                    given = turned.contiguous(memory_format=torch.channels_last)
                    for number, member in enumerate(self._members):
                        if (member.mean, member.std) == (mean, std):
                            values = member.network(given).float().cpu().numpy()
                            found[number, view] = _checked(member.name, values, ids)
        return found

    def _channels(self, values: tuple[float, ...]) -> torch.Tensor:
        channels: torch.Tensor = self._torch.tensor(values, dtype=self._torch.float32, device=self._device)
        return channels.reshape(1, 3, 1, 1)


def _checked(name: str, values: npt.NDArray[np.float32], ids: Sequence[str]) -> npt.NDArray[np.float32]:
    if values.size != len(ids):
        raise RunError(f"the model of {name} does not predict grades", expected="one number", got=values.shape[1:])
    values = values.reshape(len(ids))
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise RunError(
            f"the model of {name} gives {values[bad[0]]} for {ids[bad[0]]}",
            expected="a finite number",
            do="train again with a lower learning rate, or in 32-bit precision",
        )
    return values


def _torch() -> Any:
    try:
        import torch  # noqa: PLC0415 - a table of predictions can be read without torch
    except ImportError as error:
        raise MissingExtra("torch is not installed", do="pip install 'prebake[train]'") from error
    return torch
