"""U-Net on an encoder: which features meet where, and what the file tells."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from segstudio.architectures.unet_encoder import UNetEncoder, UNetEncoderOptions


@pytest.mark.parametrize(("backbone", "stride"), [("efficientnet-lite0", 2), ("resnet18", 4)])
def test_every_level_sees_the_features_of_its_size(backbone: str, stride: int) -> None:
    network = UNetEncoder(3, UNetEncoderOptions(backbone, width=8)).eval()
    joined: list[Tensor] = []
    for block in network.decoder:

        def keep(_module: nn.Module, given: tuple[Tensor]) -> None:
            joined.append(given[0])

        block.first.register_forward_pre_hook(keep)
    image = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        features = network.encoder(image)
        logits = network(image)
    assert logits.shape == (1, 3, 64 // stride, 96 // stride)
    assert len(joined) == len(features) - 1
    for given, skip in zip(joined, reversed(features[:-1]), strict=True):
        assert torch.equal(given[:, -skip.shape[1] :], skip)


def test_widths_double_at_most_three_times() -> None:
    with torch.device("meta"):
        network = UNetEncoder(3, UNetEncoderOptions(width=8))
        widths = [block.second[0].out_channels for block in network.decoder]
        deep = UNetEncoder(3, UNetEncoderOptions("resnet34", width=16))
    assert widths == [8, 16, 32, 64]
    assert [block.second[0].out_channels for block in deep.decoder] == [16, 32, 64]


def test_odd_sizes_come_back_whole() -> None:
    network = UNetEncoder(3, UNetEncoderOptions(width=8)).eval()
    with torch.inference_mode():
        assert network(torch.rand(1, 3, 45, 70)).shape == (1, 3, 45, 70)


@pytest.mark.parametrize("backbone", ["efficientnet-lite1", "efficientnet-lite2", "resnet34"])
def test_the_file_tells_encoder_and_width(backbone: str) -> None:
    with torch.device("meta"):
        network = UNetEncoder(5, UNetEncoderOptions(backbone, width=24))
        found = UNetEncoder.recognise(network.state_dict())
    assert found is not None
    assert (found.options.backbone, found.options.width, found.classes) == (backbone, 24, 5)
