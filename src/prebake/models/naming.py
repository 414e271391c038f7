"""Names of tensors: torchvision's and lukemelas' EfficientNets in those of timm."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import timm

from prebake.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["rename_weights"]

_TOP = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_LUKEMELAS = {
    False: {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"},
    True: {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
    | {"_project_conv": "conv_pwl", "_bn2": "bn3"},
}
_TORCHVISION = {
    False: {"0.0": "conv_dw", "0.1": "bn1", "1.fc1": "se.conv_reduce", "1.fc2": "se.conv_expand"}
    | {"2.0": "conv_pw", "2.1": "bn2"},
    True: {"0.0": "conv_pw", "0.1": "bn1", "1.0": "conv_dw", "1.1": "bn2", "2.fc1": "se.conv_reduce"}
    | {"2.fc2": "se.conv_expand", "3.0": "conv_pwl", "3.1": "bn3"},
}
_SQUEEZE = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}


def rename_weights(found: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Give tensors of torchvision's or lukemelas' EfficientNet the names timm has for them; others pass as they are.

    Raises
    ------
    WeightsError
        The names belong to another kind of network than ``model``.
    """
    name = str(getattr(model, "pretrained_cfg", {}).get("architecture", ""))
    if "_conv_stem.weight" in found:
        _require_kind(name, "tf_efficientnet_", "lukemelas")
        stages = model.get_submodule("blocks").named_children()
        blocks = [f"blocks.{stage}.{index}" for stage, inner in stages for index, _ in inner.named_children()]
        return {_from_lukemelas(key, found, blocks): tensor for key, tensor in found.items()}
    if "features.0.0.weight" in found and "classifier.1.weight" in found and "features.1.0.block.0.0.weight" in found:
        _require_kind(name, "efficientnet_b", "torchvision")
        last = max(int(key.split(".")[1]) for key in found if key.startswith("features."))
        return {_from_torchvision(key, found, last): tensor for key, tensor in found.items()}
    return dict(found)


def _require_kind(name: str, prefix: str, naming: str) -> None:
    if not name.startswith(prefix):
        plain = name.removeprefix("tf_")
        fitting = f"tf_{plain}" if prefix.startswith("tf_") else plain
        known = timm.is_model(fitting) and fitting.startswith(prefix)
        raise WeightsError(
            f"weights in {naming} naming do not belong to model {name}: padding and batch normalisation differ",
            expected=f"a model whose name starts with {prefix}",
            got=name,
            do=f"--model {fitting}" if known else None,
        )


def _from_lukemelas(key: str, found: Mapping[str, Tensor], blocks: list[str]) -> str:
    match = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key)
    if match is None:
        layer, _, rest = key.partition(".")
        return f"{_TOP.get(layer, layer)}.{rest}"
    number, layer, rest = int(match[1]), match[2], match[3]
    layers = _LUKEMELAS[f"_blocks.{number}._expand_conv.weight" in found] | _SQUEEZE
    block = blocks[number] if number < len(blocks) else f"_blocks.{number}"
    return f"{block}.{layers.get(layer, layer)}.{rest}"


def _from_torchvision(key: str, found: Mapping[str, Tensor], last: int) -> str:
    match = re.fullmatch(r"features\.(\d+)\.(\d+)\.block\.(\d\.\w+)\.(\w+)", key)
    if match is not None:
        stage, index, layer, rest = match.groups()
        layers = _TORCHVISION[f"features.{stage}.{index}.block.3.0.weight" in found]
        return f"blocks.{int(stage) - 1}.{index}.{layers.get(layer, layer)}.{rest}"
    ends = {"features.0.0": "conv_stem", "features.0.1": "bn1", "classifier.1": "classifier"}
    ends |= {f"features.{last}.0": "conv_head", f"features.{last}.1": "bn2"}
    layer, _, rest = key.rpartition(".")
    return f"{ends.get(layer, layer)}.{rest}"
