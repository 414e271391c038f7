"""Batch norms put into the convolutions before them: one pass over memory less for each, on a CPU."""

from __future__ import annotations

import copy
import logging

import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import BatchNormAct2d
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["fused"]

# By exact type: a subclass may do something else to its weights (standardise them) before it convolves.
_CONVOLUTIONS: tuple[type[nn.Module], ...] = (nn.Conv2d, Conv2dSame)
_NORMS: tuple[type[nn.Module], ...] = (nn.BatchNorm2d, BatchNormAct2d)
_TOLERANCE = 5e-5

_log = logging.getLogger("prebake.prediction")


def fused(network: nn.Module, size: int) -> nn.Module:
    """Return a network that predicts the same with every batch norm that can be in the convolution before it.

    Which belong together is seen in a forward pass, whatever the architecture. The result is tried against the
    original on noise; where it says something else (a convolution whose result is also used elsewhere), or the network
    cannot be taken apart, the original is returned.

    Parameters
    ----------
    network
        In ``eval`` mode, on the CPU; it is not changed.
    size
        Side of its input in pixels.

    Returns
    -------
    A copy that agrees to 1e-4 on values of the size of grades, or ``network`` itself.
    """
    probe = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            made = _fuse(copy.deepcopy(network), probe[:1])
            same = torch.allclose(made(probe), network(probe), rtol=_TOLERANCE, atol=_TOLERANCE)
    except Exception as error:  # noqa: BLE001 - a network may do anything; as it is, it predicts
        _log.debug("predicting without fusing: %s", error)
        return network
    if not same:
        _log.debug("predicting without fusing: it would change what %s says", type(network).__name__)
    return made if same else network


def _fuse(network: nn.Module, probe: torch.Tensor) -> nn.Module:
    pairs = _pairs(network, probe)
    names = {module: name for name, module in network.named_modules()}
    for convolution, norm in pairs.items():
        network.set_submodule(names[convolution], fuse_conv_bn_eval(convolution, norm))
        rest = nn.Sequential(norm.drop, norm.act) if isinstance(norm, BatchNormAct2d) else nn.Identity()
        network.set_submodule(names[norm], rest)
    return network


def _pairs(network: nn.Module, probe: torch.Tensor) -> dict[nn.Conv2d, nn.BatchNorm2d]:
    """Find the batch norms whose input is the result of a convolution, in one forward pass; each is used once."""
    results: list[tuple[nn.Conv2d, torch.Tensor]] = []
    calls: list[nn.Module] = []
    pairs: dict[nn.Conv2d, nn.BatchNorm2d] = {}

    def seen(module: nn.Module, given: tuple[torch.Tensor, ...], result: torch.Tensor) -> None:
        calls.append(module)
        if isinstance(module, nn.Conv2d):
            results.append((module, result))
        elif isinstance(module, nn.BatchNorm2d):
            pairs.update({convolution: module for convolution, made in results if made is given[0]})

    kinds = (*_CONVOLUTIONS, *_NORMS)
    hooks = [module.register_forward_hook(seen) for module in network.modules() if type(module) in kinds]
    try:
        network(probe)
    finally:
        for hook in hooks:
            hook.remove()
    return {
        convolution: norm for convolution, norm in pairs.items() if calls.count(convolution) == calls.count(norm) == 1
    }
