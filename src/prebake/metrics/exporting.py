"""Results as what JSON can hold."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

__all__ = ["for_json"]


def for_json(result: object) -> Any:
    """Turn a result of this package into dictionaries, lists, numbers and text.

    What is undefined (NaN), and the threshold above all values (infinity), become ``None``.

    Examples
    --------
    >>> from prebake.metrics import OperatingPoint
    >>> for_json(OperatingPoint(1.5, 0.5, float("nan")))
    {'threshold': 1.5, 'sensitivity': 0.5, 'specificity': None}
    """
    if is_dataclass(result):
        return {field.name: for_json(getattr(result, field.name)) for field in fields(result)}
    if isinstance(result, dict):
        return {str(name): for_json(value) for name, value in result.items()}
    if isinstance(result, np.ndarray | list | tuple):
        return [for_json(value) for value in result]
    if isinstance(result, np.generic):
        return for_json(result.item())
    if isinstance(result, float) and not np.isfinite(result):
        return None
    return result
