"""A network of timm with a new head, and what pretraining fed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import timm
from torch import nn

from prebake.errors import OptionError

__all__ = ["DataConfig", "create", "data_config", "head_prefixes"]


@dataclass(frozen=True)
class DataConfig:
    """What pretraining fed a model: mean and std (R, G, B in 0..1), side in pixels, interpolation of the resize."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    size: int
    interpolation: str


def create(name: str, kwargs: Mapping[str, Any]) -> nn.Module:
    """Let timm build a model; a head that is not the pretrained one starts as a linear layer of torch does.

    Raises
    ------
    OptionError
        The model does not take one of ``kwargs``.
    """
    try:
        model: nn.Module = timm.create_model(name, **kwargs)
    except TypeError as error:
        raise OptionError(f"model {name} cannot be built with {dict(kwargs)}: {error}") from error
    pretrained = kwargs.get("pretrained") and getattr(model, "pretrained_cfg", {}).get("num_classes")
    if kwargs["num_classes"] != pretrained:
        _reset_head(model)
    return model


def _reset_head(model: nn.Module) -> None:
    """Give a new head the first weights of ``torch.nn.Linear``.

    timm draws the head of an EfficientNet from -1/sqrt(outputs) ... 1/sqrt(outputs), made for a thousand classes:
    with a single output the first errors are tenfold, and they tear the pretrained weights.
    """
    for name in head_prefixes(model):
        head = model.get_submodule(name.removesuffix("."))
        if isinstance(head, nn.Linear):
            head.reset_parameters()


def data_config(model: nn.Module) -> DataConfig:
    """Return what pretraining fed a model of timm."""
    found: dict[str, Any] = timm.data.resolve_model_data_config(model)  # type: ignore[attr-defined, no-untyped-call]
    return DataConfig(
        _rgb(found["mean"]), _rgb(found["std"]), int(found["input_size"][-1]), str(found["interpolation"])
    )


def _rgb(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue


def head_prefixes(model: nn.Module) -> tuple[str, ...]:
    """Return what the names of the tensors of its head begin with, each with the dot at the end."""
    names = getattr(model, "pretrained_cfg", {}).get("classifier") or ()
    return tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names))
