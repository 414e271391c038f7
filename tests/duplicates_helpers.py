"""Photographs that are copies of each other, and packs of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from prebake.files import digest
from prebake.fundus import perceptual_hash
from prebake.recipe import Recipe
from prebake.store import Header, PackWriter, Row

SIZE = 64


def picture(number: int, side: int = SIZE) -> np.ndarray:
    """A picture with structure at every scale, another one for every number."""
    rng = np.random.default_rng(number)
    image = sum(
        cv2.resize(rng.normal(0, 40, (s, s, 3)), (side, side), interpolation=cv2.INTER_CUBIC) for s in (4, 8, 16, 24)
    )
    return np.clip(image + 120, 0, 255).astype(np.uint8)


def saved_again(image: np.ndarray, quality: int = 60) -> np.ndarray:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def half_size(image: np.ndarray) -> np.ndarray:
    half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return cv2.resize(half, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def row(number: int, **changes: Any) -> dict[str, Any]:
    """What :func:`write` takes: the columns of a row that matter here, and its ``image``."""
    return {"id": f"p{number:03d}", "label": float(number % 5), "image": picture(number), **changes}


def write(path: Path, rows: Iterable[dict[str, Any]], recipe: str = "crop") -> Path:
    """Write a pack; a ``file`` stands for the bytes of the source, without it every row has a file of its own."""
    made = Recipe.named(recipe, SIZE)
    rows = list(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with PackWriter(path, Header(made.to_json(), made.digest, SIZE, "raw", {}), (SIZE, SIZE, 3), len(rows)) as writer:
        for entry in rows:
            image = entry["image"]
            file = entry.get("file", f"{path} {entry['id']}")
            writer.add(
                Row(
                    id=entry["id"], label=entry["label"], group=entry.get("group"), source=entry.get("source", ""),
                    split=entry.get("split", ""), path=entry["id"], width=entry.get("width", 30), height=20,
                    to_source=np.eye(2, 3), source_digest=digest(file.encode()), source_bytes=1,
                    phash=perceptual_hash(image),
                ),
                image,
            )  # fmt: skip
    return path
