"""The networks that predict together, loaded onto one device, and what they say of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from prebake.errors import MissingExtra, OptionError, RunError

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

    from prebake.runs import Run

__all__ = ["Ensemble"]


@dataclass(frozen=True)
class _Member:
    """One run, loaded: its network on the device, and what its input is normalised with, (1, 3, 1, 1) each."""

    name: str
    network: torch.nn.Module
    mean: torch.Tensor
    std: torch.Tensor


class Ensemble:
    """The networks of one or several runs with their best weights, in evaluation mode, in 32-bit floating point.

    Parameters
    ----------
    runs
        The runs; at least one.
    device
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; ``"auto"`` takes what the machine has.

    Raises
    ------
    MissingExtra
        torch is not installed.
    OptionError
        The device cannot be used.
    RunError, WeightsError
        A run is not complete, or its weights do not fit its model.
    """

    def __init__(self, runs: Sequence[Run], device: str = "auto") -> None:
        self._torch = _torch()
        self._device = _device(self._torch, device)
        self._members = [self._load(run) for run in runs]

    def __len__(self) -> int:
        return len(self._members)

    def _load(self, run: Run) -> _Member:
        from prebake.models import load_run_model  # noqa: PLC0415 - loads torch

        network = load_run_model(run).to(self._device).to(memory_format=self._torch.channels_last)
        mean, std = (
            self._torch.tensor(run.info["input"][key], dtype=self._torch.float32, device=self._device)
            for key in ("mean", "std")
        )
        return _Member(str(run.path), network.eval(), mean.reshape(1, 3, 1, 1), std.reshape(1, 3, 1, 1))

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
        (R, B) float32, one row for each run.

        Raises
        ------
        RunError
            A network gives something that is not a finite number.
        """
        torch = self._torch
        with torch.inference_mode():
            pixels = torch.from_numpy(images).to(self._device).permute(0, 3, 1, 2)
            scaled = pixels.to(torch.float32, memory_format=torch.channels_last) / 255
            found = []
            for member in self._members:
                values = member.network((scaled - member.mean) / member.std).float().cpu().numpy()
                found.append(_checked(member.name, values, ids))
        return np.stack(found)


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


def _device(library: Any, wanted: str) -> torch.device:
    """Return the device, tried out; ``library`` is torch."""
    if wanted == "auto":
        wanted = "cuda" if library.cuda.is_available() else "mps" if library.backends.mps.is_available() else "cpu"
    try:
        device: torch.device = library.device(wanted)
        library.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise OptionError(
            f"device {wanted} cannot be used: {str(error).splitlines()[0]}", do="use --device cpu, or auto"
        ) from error
    return device


def _torch() -> Any:
    try:
        import torch  # noqa: PLC0415 - a table of predictions can be read without torch
    except ImportError as error:
        raise MissingExtra("torch is not installed", do="pip install 'prebake[train]'") from error
    return torch
