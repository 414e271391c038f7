"""The options of a training: every field of :class:`~prebake.config.TrainConfig` is one, with the presets' values."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

from cyclopts import Parameter

from prebake.config import TrainConfig

__all__ = ["PRESET_VALUES", "Options", "Preset", "config_of"]

Preset = Literal["kernel", "default"]


def _options_of(config: type[TrainConfig]) -> Any:
    """Make an option of every field of the configuration; one that is not given stays ``None``: the preset's value."""
    kinds, presets = get_type_hints(config), {name: config.preset(name) for name in ("default", "kernel")}
    fields = []
    for field in dataclasses.fields(config):
        if field.metadata.get("option", True):
            default, kernel = (_shown(getattr(preset, field.name)) for preset in presets.values())
            values = default if default == kernel else f"{default}, kernel: {kernel}"
            parameter = Parameter(
                help=f"{field.metadata['help']} [default: {values}]",
                negative=f"--no-{field.name.replace('_', '-')}" if kinds[field.name] is bool else (),
                show_default=False,
            )
            fields.append((field.name, Annotated[kinds[field.name] | None, parameter], dataclasses.field(default=None)))
    return dataclasses.make_dataclass("TrainOptions", fields, frozen=True, namespace={"__module__": __name__})


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(_shown, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "all cores" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


if TYPE_CHECKING:

    @dataclasses.dataclass(frozen=True)
    class TrainOptions:
        """Every field of TrainConfig, each of them optional."""
else:
    TrainOptions = _options_of(TrainConfig)

PRESET_VALUES = TrainOptions()
Options = Annotated[TrainOptions, Parameter(name="*")]


def config_of(preset: Preset, options: TrainOptions) -> TrainConfig:
    """Return the configuration that a preset and the options given beside it describe."""
    return TrainConfig.preset(preset, **{name: value for name, value in vars(options).items() if value is not None})
