"""Maps: what they are, where they lie on the photograph, and what is refused."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import timm
import torch

from explanation_helpers import CELL, SIZE, fundus, halved, make_run, save_jpeg
from prebake.errors import OptionError, PackError, PackFailures, RecipeMismatch, RunError, SourceError
from prebake.explanation import explain, explain_worst
from prebake.models import load_run_model, save_weights
from prebake.packing import pack
from prebake.recipe import Recipe
from prebake.runs import RunWriter, Worst

RESIZE = Recipe.named("resize", SIZE)
GREEN, BLUE, SIDE = (400, 420), (820, 520), 220


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"), RESIZE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photographs whose green patch lies at another place each; the table gives grades."""
    folder = tmp_path_factory.mktemp("photographs")
    for number in range(6):
        save_jpeg(fundus(1200, 900, (400 + 60 * number, 300), BLUE, SIDE), folder / f"eye{number}.jpg")
    (folder / "train.csv").write_text("id_code,diagnosis\n" + "".join(f"eye{n},{n % 3}\n" for n in range(6)))
    return folder


def centre(values):
    """Middle of what is above half of the peak, (x, y)."""
    weights = np.nan_to_num(np.maximum(values - np.nanmax(values) / 2, 0))
    y, x = np.mgrid[: values.shape[0], : values.shape[1]]
    return np.array([(weights * x).sum(), (weights * y).sum()]) / weights.sum()


@pytest.mark.parametrize("model", ["test_efficientnet", "test_resnet", "test_convnext", "swin_tiny_patch4_window7_224"])
def test_maps_are_channels_times_mean_gradient_as_computed_by_hand(tmp_path, model):
    size = 224 if "swin" in model else 96
    run = make_run(tmp_path / "run", Recipe.named("resize", size), model=model, seed=3)
    save_jpeg(fundus(300, 200, (100, 80), (200, 120), 50), tmp_path / "eye.jpg")
    found = explain(run, tmp_path / "eye.jpg")[0]
    network = load_run_model(run)
    image = torch.from_numpy(found.image.astype(np.float32) / 255).permute(2, 0, 1)[None]
    features = network.forward_features(image).detach().requires_grad_()
    value = network.forward_head(features).sum()
    (gradient,) = torch.autograd.grad(value, features)
    places, channels = ((1, 2), 3) if "swin" in model else ((2, 3), 1)
    cells = (features * gradient.mean(places, keepdim=True)).sum(channels)[0].detach()
    cells = cells * cells.numel()
    expected = torch.nn.functional.interpolate(cells[None, None], (size, size), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(found.map, expected[0, 0].numpy(), atol=1e-4 * float(cells.abs().max()))
    assert found.raw == pytest.approx(value.item(), abs=1e-4)
    assert found.grid == tuple(cells.shape)
    assert found.map.dtype == np.float32


def test_the_mean_of_a_map_is_the_raw_value_without_the_constant_of_the_head(run, folder):
    for found in explain(run, folder):
        assert found.map.mean() == pytest.approx(found.raw - 1, abs=1e-4)
        assert found.map.min() < 0 < found.map.max()


@pytest.mark.parametrize("recipe", ["resize", "crop", "ben"])
@pytest.mark.parametrize(("scale", "orientation"), [(1, 1), (1, 6), (1, 8), (1, 3), (3, 1)])
def test_the_peak_lies_on_the_patch_of_the_original_photograph(tmp_path, recipe, scale, orientation):
    """At three times the size the JPEG is decoded at a fraction; turned pictures are decoded whole and set upright."""
    run = make_run(tmp_path / "run", Recipe.named(recipe, SIZE))
    width, height, side = 1200 * scale, 900 * scale, SIDE * scale
    green, blue = np.multiply(GREEN, scale), np.multiply(BLUE, scale)
    if orientation in (6, 8):
        width, height, green, blue = height, width, green[::-1], blue[::-1]
    path = save_jpeg(fundus(width, height, tuple(green), tuple(blue), side), tmp_path / "eye.jpg", orientation)
    found = explain(run, path)[0]
    shown = found.on_photograph(longest=600)
    assert (shown.width, shown.height) == (width, height)
    assert max(shown.map.shape) == 600
    assert shown.image.shape[:2] == shown.map.shape
    step = width / shown.map.shape[1]
    for sign, patch in ((1, green), (-1, blue)):
        peak = np.array(np.unravel_index(np.nanargmax(sign * shown.map), shown.map.shape))[::-1] * step
        assert np.abs(peak - patch).max() < side / 2, (sign, peak, patch)
        cell = np.abs(found.subject.to_source[:, :2]).max() * CELL
        np.testing.assert_allclose(centre(sign * shown.map) * step, patch, atol=0.3 * cell)
    y, x = np.array(green)[::-1] / step
    assert shown.image[int(y), int(x)].argmax() == 1


def test_what_the_model_does_not_see_has_no_value(tmp_path):
    run = make_run(tmp_path / "run", Recipe.named("crop", SIZE))
    shown = explain(run, save_jpeg(fundus(1200, 900, GREEN, BLUE, SIDE), tmp_path / "eye.jpg"))[0].on_photograph()
    assert np.isnan(shown.map[:, :100]).all()
    assert np.isfinite(shown.map[100:-100, 300:900]).all()


def test_a_pack_gives_the_same_maps_and_finds_its_photographs(run, folder, tmp_path):
    pack([str(folder)], tmp_path / "pack.h5", recipe="resize", size=SIZE)
    direct = explain(run, folder, ids=["eye4", "eye1"])
    packed = explain(run, tmp_path / "pack.h5", ids=["eye4", "eye1"], photographs=folder)
    bare = explain(run, tmp_path / "pack.h5", ids=["eye4", "eye1"])
    for one, other, alone in zip(direct, packed, bare, strict=True):
        np.testing.assert_array_equal(one.map, other.map)
        np.testing.assert_array_equal(one.on_photograph().map, other.on_photograph().map)
        assert alone.on_photograph() is None
        assert alone.geometry_known
    assert [found.id for found in packed] == ["eye4", "eye1"]
    assert packed["eye1"].subject.label == 1
    save_jpeg(fundus(1200, 900, GREEN, BLUE, 100), tmp_path / "other" / "eye1.jpg")
    with pytest.raises(SourceError, match="not the photograph that was baked"):
        explain(run, tmp_path / "pack.h5", ids=["eye1"], photographs=tmp_path / "other")[0].on_photograph()


def test_without_ids_all_labels_take_turns(run, folder):
    assert sorted(found.subject.label for found in explain(run, folder, count=3)) == [0, 1, 2]
    assert len(explain(run, folder)) == 6


def test_of_several_runs_it_is_the_mean(run, folder, tmp_path):
    other = make_run(tmp_path / "other", RESIZE, model="test_resnet", seed=1)
    alone = [explain(one, folder, count=2) for one in (run, other)]
    for first, second, both in zip(*alone, explain([run, other.path], folder, count=2), strict=True):
        np.testing.assert_allclose(both.map, (first.map + second.map) / 2, rtol=1e-5, atol=1e-6)
        assert both.raw == pytest.approx((first.raw + second.raw) / 2, abs=1e-5)
        assert (both.runs, both.grid) == (2, (2, 2))


def test_twice_gives_the_same_bits_whatever_stands_beside_it(run, folder):
    first, second = explain(run, folder), explain(run, folder)
    assert all(np.array_equal(one.map, other.map) for one, other in zip(first, second, strict=True))
    np.testing.assert_allclose(explain(run, folder, ids=["eye3"])[0].map, first["eye3"].map, atol=1e-6)


def test_nothing_is_left_in_memory(run, folder):
    def tensors() -> int:
        gc.collect()
        return sum(issubclass(type(one), torch.Tensor) for one in gc.get_objects())

    explain(run, folder)
    before = tensors()
    for _ in range(5):
        explain(run, folder)
    assert tensors() <= before


def test_the_largest_errors_are_explained_from_the_run_folder_alone(tmp_path):
    run = make_run(tmp_path / "run", RESIZE)
    images = np.stack([RESIZE.apply(fundus(1200, 900, (400 + 100 * n, 300), BLUE, SIDE)).image for n in range(3)])
    labels = np.array([4, 0, 1], np.float32)
    RunWriter(run.path).write_worst(Worst(images, ("a", "b", "c"), labels, np.array([0, 3, 2], np.float32)))
    found = explain_worst(run)
    assert [(one.id, one.subject.label) for one in found] == [("a", 4), ("b", 0), ("c", 1)]
    assert [round(centre(one.map)[0] / SIZE * 1200 / 100) for one in found] == [4, 5, 6]
    assert len(explain_worst(run.path, 2)) == 2
    assert found[0].on_photograph() is None
    assert not found[0].geometry_known


def test_of_a_function_of_the_user_the_place_is_unknown(tmp_path, folder):
    run = make_run(tmp_path / "run", Recipe.from_callable(halved, name="mine", version="1", size=SIZE))
    found = explain(run, folder, count=1)[0]
    assert not found.geometry_known
    assert found.on_photograph() is None


def test_the_kernel_says_that_its_geometry_is_approximate(tmp_path, folder):
    kernel = make_run(tmp_path / "run", Recipe.named("kernel", SIZE))
    assert explain(kernel, folder, count=1)[0].approximate
    crop = make_run(tmp_path / "crop", Recipe.named("crop", SIZE))
    assert not explain(crop, folder, count=1)[0].approximate


def test_a_vision_transformer_is_refused_and_what_works_is_named(tmp_path, folder):
    run = make_run(tmp_path / "run", RESIZE, model="test_vit")
    with pytest.raises(RunError, match="no feature map") as caught:
        explain(run, folder)
    assert "tf_efficientnet_lite0" in str(caught.value)


def test_a_feature_map_of_one_cell_is_refused(tmp_path, folder):
    run = make_run(tmp_path / "run", Recipe.named("resize", 32), model="test_efficientnet")
    with pytest.raises(RunError, match="single place"):
        explain(run, folder)


def test_a_model_that_says_nothing_finite_is_refused(tmp_path, folder):
    run = make_run(tmp_path / "run", RESIZE)
    network = timm.create_model("patch_finder")
    network.head.bias.data.fill_(float("nan"))
    save_weights(network.state_dict(), run.path / "best.safetensors", {})
    with pytest.raises(RunError, match="no finite numbers"):
        explain(run, folder)


def test_what_does_not_fit_is_refused(run, folder, tmp_path):
    pack([str(folder)], tmp_path / "crop.h5", recipe="crop", size=SIZE)
    with pytest.raises(RecipeMismatch):
        explain(run, tmp_path / "crop.h5")
    with pytest.raises(RecipeMismatch):
        explain([run, make_run(tmp_path / "other", Recipe.named("crop", SIZE))], folder)
    with pytest.raises(OptionError, match="nearest id is 'eye3'"):
        explain(run, folder, ids=["eye33"])
    with pytest.raises(OptionError, match="count"):
        explain(run, folder, count=0)
    with pytest.raises(OptionError, match="no pack"):
        explain(run, folder, photographs=folder)
    with pytest.raises(OptionError, match="no run"):
        explain([], folder)
    with pytest.raises(OptionError, match="'eye3'"):
        _ = explain(run, folder, ids=["eye3"])["eye"]
    with pytest.raises(RunError, match="does not tell its recipe"):
        explain(make_run(tmp_path / "bare", None), folder)
    pack([str(folder)], tmp_path / "pack.h5", recipe="resize", size=SIZE)
    with pytest.raises(PackError, match="eye"):
        explain(run, tmp_path / "pack.h5", ids=["nobody"])


def test_photographs_that_cannot_be_baked_are_all_named(run, tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.jpg").write_bytes(b"\xff\xd8 no photograph")
    save_jpeg(fundus(300, 200, (100, 80), (200, 120), 50), tmp_path / "c.jpg")
    with pytest.raises(PackFailures, match="2 of 3") as caught:
        explain(run, tmp_path)
    assert [failure.id for failure in caught.value.failures] == ["a", "b"]
