"""The device that a network runs on."""

from __future__ import annotations

import torch

from prebake.errors import OptionError

__all__ = ["choose_device"]


def choose_device(wanted: str) -> torch.device:
    """Return a device of torch, tried out; ``"auto"`` takes what the machine has.

    Raises
    ------
    OptionError
        The device cannot be used.
    """
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(wanted)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise OptionError(
            f"device {wanted} cannot be used: {str(error).splitlines()[0]}", do="use --device cpu, or auto"
        ) from error
    return device
