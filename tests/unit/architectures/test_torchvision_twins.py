"""Our pages beside torchvision's own networks, holding the same random weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from segstudio.architectures._base import ARCHITECTURES

_TWINS = {
    "fcn_resnet50": ("fcn", {"backbone": "resnet50", "head": "torchvision"}),
    "deeplabv3_resnet50": ("deeplabv3", {"backbone": "resnet50", "head": "torchvision"}),
    "deeplabv3_mobilenet_v3_large": (
        "deeplabv3",
        {"backbone": "mobilenet-v3-large", "head": "torchvision"},
    ),
    "lraspp_mobilenet_v3_large": ("lraspp", {"head": "torchvision"}),
}


def disturb(network: nn.Module) -> None:
    """Give every statistic a value of its own: with fresh ones an epsilon would go unnoticed."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.01, 0.3)
            nn.init.uniform_(module.weight, 0.1, 0.4)
            nn.init.normal_(module.bias, std=0.1)


@pytest.mark.parametrize("twin", _TWINS)
def test_it_computes_what_torchvision_computes(twin: str) -> None:
    from torchvision.models import segmentation

    name, options = _TWINS[twin]
    torch.manual_seed(4)
    build: Callable[..., nn.Module] = getattr(segmentation, twin)
    theirs = build(weights=None, weights_backbone=None, num_classes=21)
    disturb(theirs)
    theirs.eval()
    tensors = theirs.state_dict()
    page = ARCHITECTURES.get(name)
    recognition = page.recognise(tensors)
    assert recognition is not None
    assert (recognition.source, recognition.classes) == ("torchvision", 21)
    assert {key: getattr(recognition.options, key) for key in options} == options
    ours = page(21, recognition.options).eval()
    ours.load_state_dict(page.rename_keys(tensors))
    image = torch.randn(1, 3, 65, 97)
    with torch.inference_mode():
        wanted = theirs(image)["out"]
        found = ours.logits(image)
    assert float(wanted.std()) > 0
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.std()))
