"""Recipes: the published one bit for bit, identity, refusals, geometry."""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import math
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from prebake.errors import RecipeError, RecipeMismatch
from prebake.recipe import NAMES, Recipe, load_recipe, require_same

if TYPE_CHECKING:
    from types import ModuleType

RNG = np.random.default_rng(0)


def golden_rows(golden: Path, idrid: Path) -> list[tuple[dict[str, Any], bytes]]:
    folder = idrid / "1. Original Images" / "a. Training Set"
    rows = json.loads((golden / "kernel.json").read_text())["rows"]
    paths = [folder / f"{r['id']}.jpg" if r["kind"] == "idrid" else golden / "hard" / f"{r['id']}.png" for r in rows]
    return [(row, path.read_bytes()) for row, path in zip(rows, paths, strict=True)]


@pytest.mark.parametrize(("size", "key"), [(256, "sha256"), (512, "sha256_512")])
def test_the_kernel_recipe_equals_the_published_outputs_bit_for_bit(
    golden: Path, idrid: Path, size: int, key: str
) -> None:
    recipe = Recipe.named("kernel", size)
    wrong = [
        row["id"]
        for row, data in golden_rows(golden, idrid)
        if hashlib.sha256(recipe.bake(data).image.tobytes()).hexdigest() != row[key]
    ]
    assert wrong == []


def test_the_stored_golden_pixels_are_what_the_kernel_recipe_gives(golden: Path, idrid: Path) -> None:
    stored = np.load(golden / "kernel_256.npz")
    images = dict(zip(stored["ids"].tolist(), stored["images"], strict=True))
    recipe = Recipe.named("kernel", 256)
    for row, data in golden_rows(golden, idrid)[::3]:
        np.testing.assert_array_equal(recipe.bake(data).image, images[row["id"]])


def photograph(width: int = 1600, height: int = 1200, clip: int = 0, contrast: int = 60) -> np.ndarray:
    """A textured disc, off centre, on black; ``clip`` rows are cut off at top and bottom."""
    y, x = np.mgrid[:height, :width]
    disc = (x - width * 0.48) ** 2 + (y - height * 0.51) ** 2 <= (0.46 * height) ** 2
    texture = cv2.resize(RNG.integers(90, 90 + contrast, (60, 80, 3), dtype=np.uint8), (width, height))
    image = texture * disc[..., None].astype(np.uint8)
    return np.ascontiguousarray(image[clip : height - clip])


def encoded(image: np.ndarray, suffix: str = ".png") -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, 98] if suffix == ".jpg" else []
    return cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()


@pytest.mark.parametrize("clip", [0, 130])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("name", NAMES)
def test_the_geometry_leads_from_a_baked_mark_to_the_place_in_the_photograph(name: str, suffix: str, clip: int) -> None:
    plain = photograph(clip=clip, contrast=8)
    recipe = Recipe.named(name, 128)
    for x, y in ((760.0, 500.0), (500.0, 620.0), (900.0, 400.0)):
        image = plain.copy()
        cv2.circle(image, (int(x), int(y)), 22, (255, 255, 255), -1)
        baked, without = recipe.bake(encoded(image, suffix)), recipe.bake(encoded(plain, suffix))
        assert (baked.width, baked.height) == image.shape[1::-1]
        difference = np.abs(baked.image.astype(float) - without.image).sum(axis=2)
        difference[difference < 0.5 * difference.max()] = 0
        rows, columns = np.mgrid[:128, :128]
        centre = [(axis * difference).sum() / difference.sum() for axis in (columns, rows)]
        found = baked.to_source @ (*centre, 1.0)
        pixel = np.abs(baked.to_source[:, :2]).max()
        np.testing.assert_allclose(found, (x, y), atol=0.3 * pixel)


def test_the_geometry_of_a_plain_resize_is_that_of_opencv() -> None:
    baked = Recipe.named("resize", 100).apply(np.zeros((400, 300, 3), np.uint8))
    np.testing.assert_allclose(baked.to_source, [[3, 0, 1], [0, 4, 1.5]])


def test_the_geometry_of_the_kernel_is_that_of_the_longest_run_where_rows_are_spliced() -> None:
    image = np.zeros((300, 300, 3), np.uint8)
    image[5, 7] = 255
    image[100:200, 50:250] = 100
    baked = Recipe.named("kernel", 100).apply(image)
    scale_x, scale_y = 201 / 100, 101 / 100
    expected = [[scale_x, 0, scale_x / 2 - 0.5 + 49], [0, scale_y, scale_y / 2 - 0.5 + 99]]
    np.testing.assert_allclose(baked.to_source, expected)


def test_a_fitted_disc_is_round_centred_and_whole() -> None:
    image = (photograph() > 0).astype(np.uint8) * 200
    for name, share in (("crop", 1.0), ("ben", 0.98)):
        baked = Recipe.named(name, 200).apply(image)
        background = Recipe.named(name, 200).fill[0]
        shown = (baked.image != background).any(axis=2) if name == "crop" else None
        if shown is not None:
            radius = 100 / 1.01 * share
            assert shown.sum() == pytest.approx(np.pi * radius**2, rel=0.02)
            rows, columns = np.nonzero(shown)
            assert (columns.mean(), rows.mean()) == pytest.approx((99.5, 99.5), abs=0.5)
        else:
            assert np.abs(baked.image.astype(int) - 128).max() <= 2, "an even disc has no halo"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (3, 2), (20, 3000), (256, 256), (700, 40)])
@pytest.mark.parametrize("level", [0, 5, 180])
def test_every_recipe_takes_any_shape(name: str, shape: tuple[int, int], level: int) -> None:
    image = np.full((*shape, 3), level, np.uint8)
    image[shape[0] // 2, shape[1] // 2] = 255
    recipe = Recipe.named(name, 64)
    for baked in (recipe.apply(image), recipe.bake(encoded(image))):
        assert baked.image.shape == (64, 64, 3)
        assert baked.image.dtype == np.uint8
        assert baked.image.flags.c_contiguous
        assert np.isfinite(baked.to_source).all()


@pytest.mark.parametrize("name", ["ben", "crop"])
def test_a_strip_is_refused_before_memory_is_taken_for_the_square_around_it(name: str) -> None:
    with pytest.raises(RecipeError, match="too long and narrow"):
        Recipe.named(name, 64).apply(np.full((2, 60_000, 3), 90, np.uint8))


@pytest.mark.parametrize("name", ["graham", "ben", "crop", "resize"])
def test_scaled_decoding_is_no_worse_than_whole_decoding(name: str) -> None:
    image = photograph()
    recipe = Recipe.named(name, 128)
    scaled = recipe.bake(encoded(image, ".jpg"))
    whole = Recipe(name, 128, (type(recipe.steps[0])(), *recipe.steps[1:]), recipe.fill).bake(encoded(image, ".jpg"))
    np.testing.assert_allclose(scaled.to_source, whole.to_source, atol=4)
    error = np.mean((scaled.image.astype(float) - whole.image) ** 2)
    assert 10 * np.log10(255**2 / error) > (40 if name in {"crop", "resize"} else 28)


def test_a_small_disc_in_a_large_photograph_is_decoded_finely_enough() -> None:
    image = np.zeros((1600, 1600, 3), np.uint8)
    texture = cv2.resize(RNG.integers(60, 190, (50, 50, 3), dtype=np.uint8), (400, 400))
    image[600:1000, 500:900] = texture
    image[(np.hypot(*np.mgrid[-800:800, -700:900])) > 199] = 0
    recipe = Recipe.named("crop", 128)
    scaled, whole = recipe.bake(encoded(image, ".jpg")), recipe.apply(image)
    np.testing.assert_allclose(scaled.to_source, whole.to_source, atol=2)
    assert np.abs(scaled.image.astype(int) - whole.image)[32:96, 32:96].mean() < 6


def test_baking_is_deterministic() -> None:
    data = encoded(photograph(), ".jpg")
    for name in NAMES:
        first, second = (Recipe.named(name, 96).bake(data) for _ in range(2))
        assert first.image.tobytes() == second.image.tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_survives_json_pickle_and_a_file(name: str, tmp_path: Path) -> None:
    recipe = Recipe.named(name, 224)
    (tmp_path / "recipe.json").write_text(recipe.to_json())
    for again in (
        Recipe.from_json(recipe.to_json()),
        Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))),
        pickle.loads(pickle.dumps(recipe)),
        load_recipe(str(tmp_path / "recipe.json"), 1),
        load_recipe(name, 224),
    ):
        assert again == recipe
        assert again.digest == recipe.digest
    assert len(recipe.digest) == 32
    assert name in recipe.describe()


def test_the_identity_of_the_published_recipe_never_changes() -> None:
    assert Recipe.named("kernel", 256).to_json() == (
        '{"fill":[128,128,128],"name":"kernel","size":256,"steps":[{"oversampling":0.0,"step":"decode","version":1},'
        '{"step":"tolerance_crop","tolerance":7,"version":1},{"interpolation":"linear","step":"resize","version":1},'
        '{"sigma":10.0,"step":"subtract_average","version":1}]}'
    )


def test_digests_differ_by_name_and_size() -> None:
    assert len({Recipe.named(name, size).digest for name in NAMES for size in (128, 256)}) == 10


def changed(**changes: Any) -> dict[str, Any]:
    return {**Recipe.named("kernel", 256).to_dict(), **changes}


def step(**changes: Any) -> dict[str, Any]:
    data = Recipe.named("kernel", 256).to_dict()
    data["steps"][3].update(changes)
    return data


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (changed(siez=1), "did you mean 'size'"),
        (changed(size=0), "8 to 4096"),
        (changed(size="256"), "8 to 4096"),
        (changed(size=True), "8 to 4096"),
        (changed(name=""), "name"),
        (changed(fill=[0, 0]), "fill"),
        (changed(fill=[0, 0, 256]), "fill"),
        (changed(fill="black"), "lists"),
        (changed(steps=[]), "decode"),
        (changed(steps=["decode"]), "step"),
        ({"name": "x"}, "missing"),
        (step(step="subtract_avarage"), "did you mean 'subtract_average'"),
        (step(step=3), "unknown step"),
        (step(sigam=3.0), "did you mean 'sigma'"),
        (step(sigma="10"), "sigma"),
        (step(sigma=None), "sigma"),
        (step(sigma=0), "sigma"),
        (step(sigma=-1.0), "sigma"),
        (step(sigma=math.nan), "sigma"),
        (step(version=2), "another version"),
    ],
)
def test_what_is_no_valid_recipe_is_refused_and_the_nearest_name_given(data: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        Recipe.from_dict(data)


def test_a_whole_number_where_a_float_is_meant_makes_the_same_recipe() -> None:
    found = Recipe.from_dict(step(sigma=10))
    assert found == Recipe.named("kernel", 256)
    assert found.digest == Recipe.named("kernel", 256).digest


@pytest.mark.parametrize("text", ["", "[]", "3", "{"])
def test_text_that_is_no_recipe_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="JSON"):
        Recipe.from_json(text)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean 'graham'"):
        Recipe.named("grahm", 256)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    (tmp_path / "their_recipes.py").write_text(
        "import cv2\n"
        "def small(image):\n    return cv2.resize(image, (32, 32))\n"
        "small.version = '3'\n"
        "def wrong(image):\n    return image[:5].astype('float32')\n"
        "def unversioned(image):\n    return image\n"
        "inner = lambda image: image\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("their_recipes")
    sys.modules.pop("their_recipes", None)


def test_a_function_of_ones_own_is_a_recipe(module: ModuleType) -> None:
    recipe = Recipe.from_callable(module.small, name="mine", version="3", size=32, fill=(1, 2, 3))
    image = RNG.integers(0, 256, (50, 60, 3), dtype=np.uint8)
    baked = pickle.loads(pickle.dumps(recipe)).apply(image)
    np.testing.assert_array_equal(baked.image, cv2.resize(image, (32, 32)))
    assert np.isnan(baked.to_source).all(), "where its pixels come from is not known"
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert load_recipe("their_recipes:small", 32).size == 32
    other = Recipe.from_callable(module.small, name="mine", version="4", size=32, fill=(1, 2, 3))
    assert other.digest != recipe.digest


def test_a_function_that_returns_something_else_is_named(module: ModuleType) -> None:
    recipe = Recipe.from_callable(module.wrong, name="wrong", version="1", size=32)
    with pytest.raises(RecipeError, match=r"their_recipes:wrong.*(\n.*)*float32 \(5, 60, 3\)"):
        recipe.apply(np.zeros((50, 60, 3), np.uint8))


def test_functions_that_workers_could_not_find_are_refused(module: ModuleType) -> None:
    for function in (lambda image: image, module.inner, functools.partial(module.small)):
        with pytest.raises(RecipeError, match="cannot be imported"):
            Recipe.from_callable(function, name="x", version="1", size=32)
    with pytest.raises(RecipeError, match="version"):
        load_recipe("their_recipes:unversioned", 32)
    with pytest.raises(RecipeError, match="cannot be imported"):
        load_recipe("no.such.module:function", 32)


def test_errors_in_a_module_of_ones_own_are_told_as_ours(module: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "their_typo.py").write_text("def small(image:\n")
    with pytest.raises(RecipeError, match=r"their_typo:small cannot be imported(.*\n)*.*SyntaxError"):
        load_recipe("their_typo:small", 32)
    for fill in (128, [0, 0], (True, 0, 0), (0.5, 0, 0), (0, 0, 256)):
        module.small.fill = fill
        with pytest.raises(RecipeError, match="fill"):
            load_recipe("their_recipes:small", 32)


def test_a_missing_recipe_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"nothing\.json"):
        load_recipe(str(tmp_path / "nothing.json"), 32)


def test_another_recipe_is_refused_with_both_shown() -> None:
    kernel, ben = Recipe.named("kernel", 256), Recipe.named("ben", 256)
    require_same(kernel, Recipe.named("kernel", 256), "the pack")
    with pytest.raises(RecipeMismatch) as caught:
        require_same(kernel, ben, "train.h5")
    message = str(caught.value)
    assert all(word in message for word in ("train.h5", kernel.describe(), ben.describe(), "--recipe ben --size 256"))


@pytest.mark.parametrize("image", [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3)), np.zeros((0, 5, 3), np.uint8)])
def test_arrays_that_are_no_photograph_are_refused(image: np.ndarray) -> None:
    with pytest.raises(RecipeError, match="uint8"):
        Recipe.named("crop", 32).apply(image)


def test_recipes_load_neither_torch_nor_hdf5() -> None:
    code = "import sys, prebake.recipe; print([name for name in ('torch', 'h5py', 'pandas') if name in sys.modules])"
    source = str(Path(__file__).resolve().parents[1] / "src")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": source}
    )
    assert done.stdout.strip() == "[]"
