"""DeepLab v2: four rates summed, three scales of which the strongest wins."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segstudio.architectures.deeplab_v2 import AtrousPyramid, DeepLabV2, DeepLabV2Options

_RESNET101 = 42_500_160
"""Parameters of ResNet-101 without its classifier."""
_SMALL = DeepLabV2Options("resnet18")


def test_parameter_count() -> None:
    with torch.device("meta"):
        network = DeepLabV2(21)
    assert network.parameter_count() == _RESNET101 + 4 * (2048 * 9 * 21 + 21)


@pytest.mark.parametrize(("size", "out"), [(1, 1), (9, 2), (16, 2), (321, 41), (513, 65)])
def test_output_stride_is_8(size: int, out: int) -> None:
    with torch.device("meta"):
        network = DeepLabV2(21, _SMALL).eval()
        assert network(torch.zeros(1, 3, size, 65)).shape == (1, 21, out, 9)


def test_branches_are_summed() -> None:
    torch.manual_seed(0)
    head = AtrousPyramid(5, 3)
    features = torch.rand(1, 5, 40, 30)
    wanted = torch.zeros(1, 3, 40, 30)
    for rate in (6, 12, 18, 24):
        conv = head.branches[f"rate{rate}"]
        wanted += F.conv2d(features, conv.weight, conv.bias, padding=rate, dilation=rate)
    torch.testing.assert_close(head(features), wanted)


def test_strongest_score_of_three_scales_wins() -> None:
    torch.manual_seed(0)
    many = DeepLabV2(4, _SMALL).eval()
    one = DeepLabV2(4, DeepLabV2Options("resnet18", multi_scale=False)).eval()
    weights = many.state_dict()
    one.load_state_dict({**weights, "scales": weights["scales"][:1]})
    image = torch.rand(1, 3, 65, 97)
    found = []
    with torch.inference_mode():
        for size in ((65, 97), (49, 73), (33, 49)):
            shrunk = F.interpolate(image, size=size, mode="bilinear", align_corners=True)
            found.append(
                F.interpolate(one(shrunk), size=(9, 13), mode="bilinear", align_corners=True)
            )
        logits = many(image)
        sides = many.scale_logits(image)
    torch.testing.assert_close(logits, torch.stack(found).amax(0))
    torch.testing.assert_close(torch.stack(sides), torch.stack(found))
    # Each scale wins somewhere, or the test would not see it left out.
    assert set(torch.stack(found).argmax(0).unique().tolist()) == {0, 1, 2}


@pytest.mark.parametrize(("backbone", "last"), [("resnet18", "bn2"), ("resnet50", "bn3")])
def test_residual_branches_start_awake(backbone: str, last: str) -> None:
    encoder = DeepLabV2(2, DeepLabV2Options(backbone)).encoder
    for name, module in encoder.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            gain = 0.2 if name.startswith("layer") and name.endswith(f".{last}") else 1.0
            assert bool((module.weight == gain).all()), name


@pytest.mark.parametrize(
    "options",
    [
        DeepLabV2Options(),
        DeepLabV2Options("resnet50", multi_scale=False),
        DeepLabV2Options("resnet18"),
    ],
)
def test_own_variants_are_recognised(options: DeepLabV2Options) -> None:
    with torch.device("meta"):
        recognition = DeepLabV2.recognise(DeepLabV2(7, options).state_dict())
    assert recognition is not None
    assert (recognition.options, recognition.classes) == (options, 7)
