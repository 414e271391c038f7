"""A made-up run folder, written as training writes it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from prebake.config import TrainConfig
from prebake.metrics import grade
from prebake.recipe import Recipe
from prebake.runs import CrossValidation, Run, RunWriter, Worst, fold_folder

THRESHOLDS = (0.5, 1.5, 2.5, 3.5)
SHARES = (0.40, 0.11, 0.28, 0.13, 0.08)


def made_up_photograph(label: float, seed: int, size: int = 192) -> np.ndarray:
    """An orange disc with as many dark specks as the label says: enough to tell pictures apart."""
    rng = np.random.default_rng(seed)
    image = np.zeros((size, size, 3), np.uint8)
    middle, radius = size // 2, int(size * 0.47)
    for step in range(radius, 0, -2):
        shade = 1.0 - 0.45 * step / radius
        cv2.circle(image, (middle, middle), step, (int(205 * shade), int(105 * shade), int(50 * shade)), -1)
    cv2.circle(image, (int(middle + radius * 0.5), middle), radius // 8, (245, 205, 130), -1)
    for _ in range(int(label) * 9):
        angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.85) * radius
        spot = (int(middle + far * np.cos(angle)), int(middle + far * np.sin(angle)))
        cv2.circle(image, spot, int(rng.integers(1, 4)), (95, 20, 15), -1)
    return np.clip(image.astype(int) + rng.integers(-6, 7, image.shape), 0, 255).astype(np.uint8)


def history(epochs: int, rng: np.random.Generator) -> list[dict[str, float]]:
    rows = []
    for epoch in range(1, epochs + 1):
        fade = np.exp(-epoch / 3)
        rows.append(
            {
                "epoch": epoch,
                "train_loss": 0.12 + 1.3 * fade + rng.normal(0, 0.01),
                "val_loss": 0.31 + 1.1 * fade + rng.normal(0, 0.03) + 0.004 * epoch,
                "val_kappa": 0.84 - 0.9 * fade + rng.normal(0, 0.015),
                "val_mae": 0.38 + 0.5 * fade,
                "lr": 1e-3 * 0.5 * (1 + np.cos(np.pi * epoch / epochs)),
                "seconds": 31.0 + rng.normal(0, 0.5),
                "waiting": 0.004,
            }
        )
    return rows


def predictions(count: int, rng: np.random.Generator, noise: float) -> pd.DataFrame:
    labels = rng.choice(5, count, p=SHARES).astype(float)
    raw = np.clip(labels * 0.9 + 0.18, 0, 4) + rng.normal(0, noise, count) * rng.choice([1, 3], count, p=(0.93, 0.07))
    ids = [f"{value:012x}" for value in rng.integers(0, 16**12, count)]
    table = pd.DataFrame({"id_code": ids, "pack": "aptos2019", "label": labels, "raw": raw})
    return table.assign(diagnosis=grade(raw, THRESHOLDS))


def make_run(
    folder: Path,
    *,
    count: int = 366,
    epochs: int = 15,
    noise: float = 0.5,
    table: pd.DataFrame | None = None,
    groups: bool = False,
    pictures: int = 24,
    config: TrainConfig | None = None,
    recipe: Recipe | None = None,
) -> Run:
    """Write a complete run (without weights) of made-up numbers."""
    rng = np.random.default_rng(5)
    table = predictions(count, rng, noise) if table is None else table
    writer = RunWriter(folder)
    rows = history(epochs, rng)
    best = min(rows, key=lambda row: row["val_loss"])
    recipe = recipe or Recipe.named("kernel", 256)
    writer.write_config(config or TrainConfig.preset("default", epochs=epochs, model="tf_efficientnet_lite0"))
    writer.write_recipe(recipe)
    writer.write_metrics(rows)
    known = table["label"].notna() & np.isfinite(table["raw"])
    writer.write_info(
        {
            "state": "complete",
            "model": "tf_efficientnet_lite0",
            "packs": [
                {
                    "path": "/data/packs/aptos 2019.h5",
                    "name": "aptos2019",
                    "digest": "3f9c1d0a77e2b4415f0e6d2c9a8b7e61",
                    "rows": 3662,
                    "recipe_digest": recipe.digest,
                }
            ],
            "input": {"size": 256, "mean": [0.5] * 3, "std": [0.25] * 3, "fill": [128] * 3},
            "thresholds": list(THRESHOLDS),
            "best_epoch": best["epoch"],
            "device": "cpu",
            "created": "2026-11-22T08:58:53+00:00",
            "precision": "32-true",
            "n_train": 9 * len(table),
            "n_val": len(table),
            "seconds": 472.0,
            "versions": {"prebake": "0.1.0", "torch": "2.14.1", "timm": "1.0.31", "python": "3.11.9"},
        }
    )
    writer.write_split(made_up_split(table, groups=groups))
    writer.write_validation(table)
    worst = table[known].assign(off=(table["raw"] - table["label"]).abs()).nlargest(pictures, "off")
    images = np.stack([made_up_photograph(label, seed) for seed, label in enumerate(worst["label"])])
    columns = (worst[name].to_numpy(dtype=np.float32) for name in ("label", "raw"))
    writer.write_worst(Worst(images, tuple(worst["id_code"]), *columns))
    return Run(folder)


def made_up_split(table: pd.DataFrame, *, groups: bool) -> pd.DataFrame:
    kept = table[["id_code", "pack", "label"]].assign(part="val")
    trained = [kept.assign(id_code=kept["id_code"] + f"-{turn}", part="train") for turn in range(9)]
    split = pd.concat([kept, *trained], ignore_index=True)
    return split.assign(group=[f"patient {row // 2}" if groups else "" for row in range(len(split))])


def make_cv(
    folder: Path,
    *,
    count: int = 150,
    folds: int = 3,
    repeats: int = 1,
    table: pd.DataFrame | None = None,
    missing: tuple[tuple[int, int], ...] = (),
    packs: list[dict] | None = None,
    made: bool = True,
    config: TrainConfig | None = None,
) -> CrossValidation:
    """Write a cross-validation of made-up numbers; ``missing`` names (repeat, fold) that were not begun."""
    table = predictions(count, np.random.default_rng(3), 0.6) if table is None else table
    table = table.assign(group=[f"patient {row // 2}" if row < count // 2 else "" for row in range(len(table))])
    recipe, parts = Recipe.named("kernel", 256), []
    for repeat in range(1, repeats + 1):
        fold = ((np.arange(len(table)) // 2 + repeat) % folds).tolist()
        own = table.assign(raw=table["raw"] + 0.1 * (repeat - 1))
        own = own.assign(diagnosis=grade(np.nan_to_num(own["raw"]), THRESHOLDS), fold=fold, repeat=repeat)
        for number in range(folds):
            if (repeat, number) not in missing:
                rows = own[own["fold"] == number]
                said = rows[["id_code", "pack", "label", "group", "raw", "diagnosis"]]
                make_run(fold_folder(folder, number, repeat, repeats), table=said, epochs=5, pictures=5, recipe=recipe)
        parts.append(own)
    writer = RunWriter(folder)
    writer.write_config(config or TrainConfig.preset("default", epochs=5, model="tf_efficientnet_lite0"))
    writer.write_recipe(recipe)
    told = [{"path": "/data/packs/aptos 2019.h5", "name": "aptos2019", "digest": "3f9c1d0a", "rows": 3662}]
    info = {
        "format": 1,
        "state": "training" if missing else "complete",
        "folds": list(range(folds)),
        "repeats": repeats,
        "made": made,
        "packs": told if packs is None else packs,
        "versions": {"prebake": "0.1.0", "torch": "2.14.1"},
    }
    (folder / "cv.json").write_text(json.dumps(info))
    if not missing:
        columns = ["id_code", "pack", "label", "group", *["repeat"][: repeats - 1], "fold", "raw", "diagnosis"]
        pd.concat(parts)[columns].to_csv(folder / "oof.csv", index=False)
    return CrossValidation(folder)
