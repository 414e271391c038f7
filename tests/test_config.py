"""TrainConfig: what the presets say, what is refused, and that it survives JSON."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from prebake.config import PRESETS, TrainConfig
from prebake.errors import OptionError


def test_the_kernel_preset_is_what_the_published_kernel_did() -> None:
    config = TrainConfig.preset("kernel")
    assert (config.model, config.weights, config.loss) == ("efficientnet_b0", "imagenet", "mse")
    assert (config.optimizer, config.lr, config.weight_decay) == ("adam", 1e-3, 1e-5)
    assert (config.schedule, config.step_size, config.gamma, config.warmup) == ("step", 5, 0.1, 0)
    assert (config.epochs, config.batch_size, config.val_fraction) == (10, 32, 0.1)
    assert (config.flips, config.rotation, config.zoom) == ("horizontal", 120, (1, 1))
    assert (config.normalize, config.monitor, config.precision) == ("imagenet", "val_loss", "auto")
    assert (config.ema, config.clip, config.dropout, config.drop_last) == (0, 0, 0, False)


def test_the_defaults_are_the_preset_default() -> None:
    assert TrainConfig.preset("default") == TrainConfig()


@pytest.mark.parametrize("preset", PRESETS)
def test_a_configuration_survives_json(preset: str) -> None:
    config = TrainConfig.preset(preset, zoom=(0.9, 1.1), threads=2)
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_changes_are_the_fields_that_differ_from_the_preset() -> None:
    assert TrainConfig.preset("kernel").changes() == {}
    assert TrainConfig.preset("kernel", epochs=3, zoom=(0.9, 1.1)).changes() == {"epochs": 3, "zoom": [0.9, 1.1]}


def test_every_field_says_what_it_does() -> None:
    for item in dataclasses.fields(TrainConfig):
        assert len(item.metadata["help"]) > 10, item.name


def test_an_unknown_field_is_refused_and_the_nearest_is_named() -> None:
    with pytest.raises(OptionError, match="did you mean 'weight_decay'"):
        TrainConfig.from_dict({"weigth_decay": 0.1})


def test_an_unknown_preset_is_refused_and_the_nearest_is_named() -> None:
    with pytest.raises(OptionError, match="did you mean 'kernel'"):
        TrainConfig.preset("kernal")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("epochs", 2.0),
        ("epochs", True),
        ("batch_size", -1),
        ("lr", 0),
        ("lr", float("nan")),
        ("lr", "fast"),
        ("weight_decay", -1e-9),
        ("warmup", 15.5),
        ("gamma", 1.5),
        ("ema", 1),
        ("dropout", 1.0),
        ("rotation", 181),
        ("zoom", (1.1, 0.9)),
        ("zoom", 1.1),
        ("zoom", (0.9, 1.0, 1.1)),
        ("val_fraction", 0),
        ("val_fraction", 1),
        ("seed", -1),
        ("seed", 2**32),
        ("threads", 0),
        ("schedule", "cosin"),
        ("flips", None),
        ("clip", float("inf")),
        ("channels_last", 1),
        ("model", " "),
        ("base", "other"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(OptionError) as caught:
        TrainConfig(**{field: value})
    assert field in str(caught.value) or "preset" in str(caught.value)


def test_whole_numbers_are_taken_for_real_ones() -> None:
    assert TrainConfig(lr=1).lr == 1.0
    assert isinstance(TrainConfig(lr=1).lr, float)
