"""Calls into decoders that are written in Rust, whose panics are no ordinary exceptions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

__all__ = ["attempted"]

T = TypeVar("T")


def attempted(decoder: Callable[..., T], *args: object) -> T | None:
    """Return what a decoder gives, ``None`` where it cannot: the caller knows a slower way that tells what is wrong.

    It raises bare Exceptions, for errors and warnings alike; and a panic, as when memory is short, comes as a
    ``PanicException``, which is none of them and cannot be imported.
    """
    try:
        return decoder(*args)
    except Exception:  # noqa: BLE001
        return None
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        return None
