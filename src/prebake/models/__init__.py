"""Models of timm with one new head, their first weights under three naming schemes, and weights as safetensors."""

from prebake.models.building import build_model, load_run_model
from prebake.models.device import choose_device
from prebake.models.naming import rename_weights
from prebake.models.network import DataConfig
from prebake.models.weights import load_weights, save_weights

__all__ = [
    "DataConfig",
    "build_model",
    "choose_device",
    "load_run_model",
    "load_weights",
    "rename_weights",
    "save_weights",
]
