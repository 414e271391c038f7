"""Files of weights: read into a model of timm whatever naming they have, and written as safetensors."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors
import safetensors.torch
import torch
from timm.models import load_state_dict as read_state_dict

from prebake.errors import WeightsError
from prebake.files import atomic_path
from prebake.models.naming import rename_weights
from prebake.models.network import head_prefixes

if TYPE_CHECKING:
    import os

    from torch import Tensor, nn

__all__ = ["UNREADABLE", "load_weights", "require_plain", "save_weights"]

UNREADABLE = (
    OSError,
    RuntimeError,
    ValueError,
    EOFError,
    LookupError,
    AttributeError,
    pickle.UnpicklingError,
    safetensors.SafetensorError,
    zipfile.BadZipFile,
)
"""What reading a file that is no file of weights ends in."""


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
        require_plain(path)
        found: dict[str, Tensor] = read_state_dict(str(path), device="cpu", weights_only=True)
    except UNREADABLE as error:
        raise WeightsError(
            f"{path} cannot be read as weights: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            expected="a .safetensors file, or a state_dict saved by torch.save",
        ) from error
    if not isinstance(found, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in found.values()):
        raise WeightsError(f"{path} holds something else than named tensors")
    _assign(model, rename_weights(found, model), path, new_head=new_head)


def require_plain(path: Path) -> None:
    """Refuse a file of ``torch.save`` that would take more memory than its size: none that it writes is compressed.

    Raises
    ------
    ValueError
        It is such a file.
    """
    if path.suffix == ".safetensors" or not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    size = sum(member.file_size for member in members)
    if size > path.stat().st_size or any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError(f"its parts claim {size} bytes, compressed, which torch.save does not do")


def _assign(model: nn.Module, found: dict[str, Tensor], path: Path, *, new_head: bool) -> None:
    own = model.state_dict()
    heads = head_prefixes(model) if new_head else ()
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


def save_weights(tensors: Mapping[str, Tensor], path: str | os.PathLike[str], metadata: dict[str, str]) -> None:
    """Write a ``state_dict`` as safetensors, whole or not at all, with ``metadata`` in its header."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        # save_file of safetensors would make a file that nobody else may read
        temporary.write_bytes(safetensors.torch.save(plain, metadata={"format": "pt", **metadata}))
