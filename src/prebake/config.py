"""What one training is told: :class:`TrainConfig`, and the presets it starts from. Free of torch."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin, get_type_hints

from prebake.errors import OptionError

__all__ = ["PRESETS", "TrainConfig"]

PRESETS: dict[str, dict[str, Any]] = {
    # Every field not named here has the default written beside it in TrainConfig: that is the preset "default".
    "default": {},
    # The published APTOS 2019 kernel: EfficientNet-B0 regression, and nothing that it did not do.
    "kernel": {
        "epochs": 10,
        "batch_size": 32,
        "optimizer": "adam",
        "lr": 1e-3,
        "weight_decay": 1e-5,
        "schedule": "step",
        "step_size": 5,
        "gamma": 0.1,
        "warmup": 0.0,
        "ema": 0.0,
        "drop_last": False,
        "flips": "horizontal",
        "rotation": 120.0,
        "fill": "black",
        "normalize": "imagenet",
        "monitor": "val_loss",
    },
}


def _help(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Every choice of one training, checked when it is made.

    The defaults are the preset ``default``; :meth:`preset` starts from a named one. Each field says in
    ``metadata["help"]`` what it does and, where the default is a choice, why.

    Raises
    ------
    OptionError
        A field has a value that cannot be used.

    Examples
    --------
    >>> TrainConfig(epochs=3).schedule
    'cosine'
    >>> TrainConfig.preset("kernel", epochs=3).optimizer
    'adam'
    """

    base: str = field(
        default="default",
        metadata={"help": "the preset the other fields started from, for the record", "option": False},
    )
    model: str = _help("efficientnet_b0", "any model name of timm, e.g. efficientnet_b0, tf_efficientnet_lite0")
    weights: str = _help("imagenet", "first weights: imagenet, none (random), or a .pth or .safetensors file")
    epochs: int = _help(15, "times every training photograph is seen")
    batch_size: int = _help(32, "photographs in one step, over all devices together")
    drop_last: bool = _help(
        default=True,
        text="leave out what does not fill the last batch (others each epoch): few images mislead batch norm",
    )
    loss: Literal["mse", "smooth_l1"] = _help(
        "mse", "what is minimised: mse (quadratic kappa also weighs errors by their square) or smooth_l1"
    )
    optimizer: Literal["adam", "adamw", "sgd"] = _help(
        "adamw", "adam, adamw or sgd; adamw decays weights without distorting Adam's steps"
    )
    lr: float = _help(1e-3, "learning rate at its highest")
    weight_decay: float = _help(1e-2, "weight decay of the optimizer")
    schedule: Literal["cosine", "step", "constant"] = _help(
        "cosine", "learning rate over time: cosine (to zero: no step epochs to tune), step, or constant"
    )
    step_size: int = _help(5, "schedule step: epochs between two reductions")
    gamma: float = _help(0.1, "schedule step: factor of each reduction")
    warmup: float = _help(
        1.0, "epochs of linear warm-up, so that the new head does not tear the pretrained weights; 0 for none"
    )
    ema: float = _help(
        0.99, "decay per step of the moving average of the weights that is validated and kept; 0 for none"
    )
    clip: float = _help(0.0, "largest norm of the gradient; 0 for no limit (1 did not help in our trials)")
    dropout: float = _help(0.0, "share of features dropped before the output")
    flips: Literal["none", "horizontal", "both"] = _help(
        "both", "random mirroring; both, because a fundus photograph has no fixed side up or left (two eyes)"
    )
    rotation: float = _help(180.0, "random rotation by up to this many degrees either way; 180 is every angle")
    zoom: tuple[float, float] = _help((1.0, 1.0), "random zoom between these two factors")
    fill: Literal["recipe", "black"] = _help(
        "recipe", "colour of the corners that rotation opens: recipe (the background the recipe made) or black"
    )
    normalize: Literal["auto", "model", "pack", "imagenet"] = _help(
        "auto",
        "mean and std from: model (its pretraining), pack (the training photographs), imagenet, or auto: "
        "pack where the recipe changes the colours, else model",
    )
    val_fraction: float = _help(0.1, "share of the labelled photographs kept for validation")
    use_test: bool = _help(
        default=False,
        text="learn also from labelled photographs that their source calls test; else they take no part, "
        "so that they can still judge the model",
    )
    monitor: Literal["val_loss", "val_kappa"] = _help(
        "val_loss", "what decides the best epoch: val_loss (smoother on few photographs) or val_kappa"
    )
    seed: int = _help(0, "decides the split, the first weights, the order and the augmentation")
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed"] = _help(
        "auto", "auto: 16-bit mixed on a CUDA device, 32-bit elsewhere"
    )
    accelerator: str = _help("auto", "cpu, gpu, ... or auto, as Lightning's Trainer takes it")
    devices: str = _help("auto", "number of devices, a list like 0,2, or auto, as Lightning's Trainer takes it")
    nodes: int = _help(1, "number of machines, as num_nodes of Lightning's Trainer")
    strategy: str = _help("auto", "how devices work together, as Lightning's Trainer takes it, e.g. ddp")
    channels_last: bool = _help(default=True, text="keep images with the channels innermost, faster for convolutions")
    threads: int | None = _help(None, "threads that read photographs and compute on the CPU; none: one a core")
    verify: Literal["none", "first", "always"] = _help(
        "first", "compare images with their checksums: first (each when it is first read), always, or none"
    )
    deterministic: bool = _help(default=False, text="refuse operations whose result is not the same each time")
    checkpoint_minutes: float = _help(10.0, "save what resuming needs this often within an epoch; 0: after each epoch")
    logger: Literal["csv", "tensorboard", "wandb", "mlflow"] = _help(
        "csv",
        "where metrics go beside metrics.csv, which is always written: tensorboard, wandb or mlflow, into RUN/logs "
        "(WANDB_MODE=online or MLFLOW_TRACKING_URI send them elsewhere)",
    )

    def __post_init__(self) -> None:
        self._check_types()
        if self.base not in PRESETS:
            raise _unknown("preset", self.base, list(PRESETS))
        for name in ("model", "weights", "accelerator", "devices", "strategy"):
            self._require(name, "some text", ok=bool(getattr(self, name).strip()))
        for name in ("epochs", "batch_size", "step_size", "nodes"):
            self._require(name, "1 or more", ok=getattr(self, name) >= 1)
        for name in ("weight_decay", "warmup", "clip", "checkpoint_minutes"):
            self._require(name, "0 or more", ok=0 <= getattr(self, name) < float("inf"))
        self._require("lr", "more than 0", ok=0 < self.lr < float("inf"))
        self._require("gamma", "more than 0, at most 1", ok=0 < self.gamma <= 1)
        self._require("warmup", f"at most epochs ({self.epochs})", ok=self.warmup <= self.epochs)
        for name in ("ema", "dropout"):
            self._require(name, "0 or more, less than 1", ok=0 <= getattr(self, name) < 1)
        self._require("rotation", "0 to 180 degrees", ok=0 <= self.rotation <= 180)
        low, high = self.zoom
        self._require("zoom", "two factors, 0.1 <= low <= high <= 10", ok=0.1 <= low <= high <= 10)
        self._require("val_fraction", "more than 0, less than 1", ok=0 < self.val_fraction < 1)
        self._require("seed", "0 to 4294967295", ok=0 <= self.seed < 2**32)
        self._require("threads", "1 or more, or none", ok=self.threads is None or self.threads >= 1)

    def _require(self, name: str, expected: str, *, ok: bool) -> None:
        if not ok:
            raise OptionError(f"{name} cannot be used", expected=expected, got=repr(getattr(self, name)))

    def _check_types(self) -> None:
        for name, kind in _types().items():
            value = getattr(self, name)
            if get_origin(kind) is Literal:
                if value not in get_args(kind):
                    raise _unknown(name, value, [str(choice) for choice in get_args(kind)])
            elif kind is float:
                self._require(name, "a number", ok=_is_number(value))
                object.__setattr__(self, name, float(value))
            elif kind is int:
                self._require(name, "a whole number", ok=type(value) is int)
            elif kind == int | None:
                self._require(name, "a whole number, or none", ok=value is None or type(value) is int)
            elif kind in (bool, str):
                self._require(name, "yes or no" if kind is bool else "text", ok=type(value) is kind)
            else:
                pair = isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_number, value))
                self._require(name, "two numbers", ok=pair)
                object.__setattr__(self, name, tuple(map(float, value)))

    @classmethod
    def preset(cls, name: str, **overrides: Any) -> TrainConfig:
        """Start from a named preset and change single fields.

        Parameters
        ----------
        name
            ``"default"`` or ``"kernel"`` (EfficientNet-B0 regression as the published 2019 kernel trained it).
        **overrides
            Fields that shall differ from the preset.

        Raises
        ------
        OptionError
            There is no such preset or field, or a value cannot be used.
        """
        if name not in PRESETS:
            raise _unknown("preset", name, list(PRESETS))
        return cls.from_dict({**PRESETS[name], **overrides, "base": name})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Make a configuration from what :meth:`to_dict` gave; unknown names are refused, with the nearest one."""
        names = [item.name for item in dataclasses.fields(cls)]
        for name in values:
            if name not in names:
                raise _unknown("field of the training configuration", name, names)
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return every field, as JSON can hold it."""
        return {**dataclasses.asdict(self), "zoom": list(self.zoom)}

    def changes(self) -> dict[str, Any]:
        """Return the fields that differ from the preset this configuration started from.

        Examples
        --------
        >>> TrainConfig.preset("kernel", epochs=3).changes()
        {'epochs': 3}
        """
        origin = TrainConfig.preset(self.base).to_dict()
        return {name: value for name, value in self.to_dict().items() if value != origin[name]}

    def options(self) -> list[str]:
        """Return the words of a command line that make this configuration.

        Examples
        --------
        >>> TrainConfig.preset("kernel", epochs=3, drop_last=True).options()
        ['--preset', 'kernel', '--epochs', '3', '--drop-last=true']
        """
        words = ["--preset", self.base]
        for name, value in self.changes().items():
            option = "--" + name.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"{option}={str(value).lower()}")
            elif isinstance(value, list):
                words += [option, *(str(entry) for entry in value)]
            elif value is not None:
                words += [option, str(value)]
        return words


def _types() -> dict[str, Any]:
    return get_type_hints(TrainConfig)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unknown(what: str, got: object, choices: list[str]) -> OptionError:
    near = difflib.get_close_matches(str(got), choices, n=1)
    hint = f"did you mean {near[0]!r}?" if near else None
    return OptionError(f"there is no {what} {got!r}", expected=", ".join(choices), do=hint)
