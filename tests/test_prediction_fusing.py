"""Batch norms inside convolutions: the same predictions, or the network as it was."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.layers.std_conv import StdConv2d
from torch import nn

from prebake.prediction.fusing import fused

SIZE = 64
WITHOUT = ("vit_tiny_patch16_224", "convnext_atto")  # no batch norm
WITH = (
    "efficientnet_b0",
    "tf_efficientnet_lite0",
    "test_efficientnet",
    "mobilenetv3_small_050",
    "resnet18",
    "densenet121",
    "repvgg_a0",
    "mixnet_s",
)


def lived_in(network: nn.Module, size: int = SIZE) -> nn.Module:
    """Give batch norms statistics and weights as after a training."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.running_var, module.weight):
                    tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
                for tensor in (module.running_mean, module.bias):
                    tensor.copy_(0.3 * torch.randn(tensor.shape, generator=generator))
    return network.eval()


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("name", WITH)
def test_networks_with_batch_norms_predict_the_same_with_fewer_of_them(name):
    torch.manual_seed(0)
    network = lived_in(timm.create_model(name, num_classes=1))
    images = torch.randn(3, 3, SIZE, SIZE)
    with torch.inference_mode():
        before = network(images)
        made = fused(network, SIZE)
        after = made.to(memory_format=torch.channels_last)(images)
        again = network(images)
    assert torch.equal(before, again), "the original was changed"
    scale = max(1.0, before.abs().max().item())
    torch.testing.assert_close(after, before, rtol=0, atol=1e-4 * scale)
    assert norms(made) < norms(network) or made is network
    if name != "densenet121":
        assert made is not network


@pytest.mark.parametrize("name", WITHOUT)
def test_networks_without_batch_norms_stay_as_they_are(name):
    size = 224 if name.startswith("vit") else SIZE
    network = timm.create_model(name, num_classes=1).eval()
    images = torch.randn(1, 3, size, size)
    with torch.inference_mode():
        assert torch.equal(fused(network, size)(images), network(images))


class Branching(nn.Module):
    """The result of the convolution is used beside the batch norm, too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        return (self.norm(x) + x).mean((2, 3)).sum(1, keepdim=True)


class Repeating(Branching):
    """One convolution and one batch norm, used twice."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(self.norm(self.conv(x)))).mean((2, 3)).sum(1, keepdim=True)


class Standardising(Branching):
    """The convolution standardises its weights first."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = StdConv2d(3, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x)).mean((2, 3)).sum(1, keepdim=True)


class Looking(Branching):
    """Asks its batch norm for something that what replaces it does not have."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x)).mean((2, 3)).sum(1, keepdim=True) + self.norm.eps


@pytest.mark.parametrize("kind", [Branching, Repeating, Standardising, Looking])
def test_what_cannot_be_fused_predicts_as_it_is(kind):
    torch.manual_seed(0)
    network = lived_in(kind())
    images = torch.randn(2, 3, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(fused(network, 16)(images), network(images), rtol=0, atol=0)
    assert norms(fused(network, 16)) == 1


def test_the_caller_that_gives_the_wrong_size_gets_the_network_back():
    network = timm.create_model("vit_tiny_patch16_224", num_classes=1).eval()
    assert fused(network, 32) is network
