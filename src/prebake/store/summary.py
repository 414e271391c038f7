"""What is in a pack, as plain data for a table or JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from prebake.store import layout

if TYPE_CHECKING:
    from prebake.store.reader import Pack

__all__ = ["summary"]


def summary(pack: Pack) -> dict[str, Any]:
    """Return what is in a pack: numbers, text, lists and dictionaries only.

    Keys: ``path, files, format, rows, size, shape, codec, codec_reason, bytes, recipe, recipe_text, recipe_digest,
    labels, groups, sources, splits, mean, std, failures, digest, written_by``. ``size`` is the longer side of the
    images in pixels, ``recipe`` its JSON, ``recipe_text`` the same for people (both empty for files of the 2019
    kernel); ``labels`` counts the rows of each label, ``missing`` those without one; ``mean`` and ``std`` are of all
    pixels of each channel, 0..255; ``digest`` is the identity of the content (:attr:`prebake.store.Pack.digest`).
    """
    mean, std = _pooled(pack)
    recipe = pack.recipe
    return {
        "path": str(pack.path),
        "files": len(pack.members),
        "format": f"{layout.FORMAT} {layout.FORMAT_VERSION}" if pack.columns else "2019 kernel (no columns)",
        "rows": len(pack),
        "size": max(pack.shape[:2]),
        "shape": list(pack.shape),
        "codec": pack.codec,
        "codec_reason": pack.extra.get("codec_reason", ""),
        "bytes": pack.file_bytes,
        "recipe": recipe.to_dict() if recipe is not None else {},
        "recipe_text": recipe.describe() if recipe is not None else "",
        "recipe_digest": pack.recipe_digest,
        "labels": _labels(pack),
        "groups": len(set(pack.groups) - {""}),
        "sources": _counts(pack.sources),
        "splits": _counts(pack.splits),
        "mean": mean,
        "std": std,
        "failures": [{"id": f.id, "path": f.path, "reason": f.reason} for f in pack.failures],
        "digest": pack.digest,
        "written_by": pack.written_by,
    }


def _labels(pack: Pack) -> dict[str, int]:
    known = pack.labels[~np.isnan(pack.labels)]
    values, counts = np.unique(known, return_counts=True)
    found = {f"{value:g}": int(count) for value, count in zip(values.tolist(), counts.tolist(), strict=True)}
    return found | {"missing": len(pack) - len(known)}


def _counts(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted((name, count) for name, count in Counter(names).items() if name))


def _pooled(pack: Pack) -> tuple[list[float], list[float]]:
    """Join the images' means and standard deviations: all images have as many pixels."""
    if not len(pack) or not pack.columns:
        return [], []
    means = pack.mean.astype(np.float64)
    mean = means.mean(axis=0)
    variance = (pack.std.astype(np.float64) ** 2 + means**2).mean(axis=0) - mean**2
    return np.round(mean, 3).tolist(), np.round(np.sqrt(np.maximum(variance, 0)), 3).tolist()
