"""Auxiliary heads, deep supervision and losses on each scale."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from segstudio.architectures._base import ARCHITECTURES, SegmentationNetwork
from segstudio.core.options import build_options
from segstudio.training.supervision import Supervision

IMAGE = torch.rand(2, 3, 64, 64)


def build(name: str, **options: Any) -> SegmentationNetwork:
    page = ARCHITECTURES.get(name)
    torch.manual_seed(0)
    return page(5, build_options(page.Options, {**page.smallest, **options})).train()


@pytest.mark.parametrize(
    ("name", "options", "weight", "count"),
    [
        ("pspnet", {}, 0.4, 1),
        ("g-frnet", {}, 1.0, 5),
        ("attention-to-scale", {}, 1.0, 2),
        ("hierarchical-attention", {}, 0.05, 2),
        ("image-pyramid", {}, 0.0, 0),
        ("deeplabv3plus", {}, 0.0, 0),
    ],
)
def test_published_losses(name: str, options: dict[str, Any], weight: float, count: int) -> None:
    network = build(name, **options)
    alone = copy.deepcopy(network)
    supervision = Supervision(network).train()
    assert supervision.weight == weight
    torch.manual_seed(1)
    logits, further = supervision(IMAGE)
    assert len(further) == count
    assert all(entry.shape == (2, 5, 64, 64) for entry in [logits, *further])
    torch.manual_seed(1)
    torch.testing.assert_close(logits, alone.train().logits(IMAGE))
    # A second pass does not see the first one's.
    assert len(supervision(IMAGE)[1]) == count
    if count:
        sum(entry.square().mean() for entry in further).backward()
        assert any(entry.grad is not None for entry in network.parameters())
    network.eval()
    with torch.inference_mode():
        assert supervision(IMAGE)[1] == [] or name == "g-frnet"


def test_deeplab_v2_is_supervised_at_each_scale() -> None:
    class Page(SegmentationNetwork):
        """Fuses by the maximum, as DeepLab v2 does, without its ResNet."""

        name = "page"

        def __init__(self) -> None:
            super().__init__(5, object())
            self.layer = torch.nn.Conv2d(3, 5, 1)

        def scale_logits(self, image: torch.Tensor) -> list[torch.Tensor]:
            return [self.layer(image), -self.layer(image)]

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return torch.maximum(*self.scale_logits(image))

        @classmethod
        def recognise(cls, state_dict: Any) -> None:
            return None

    network = Page().train()
    logits, further = Supervision(network)(IMAGE)
    assert torch.equal(logits, torch.maximum(*further)) and len(further) == 2


def test_it_can_be_turned_off_and_weighed() -> None:
    assert list(Supervision(build("pspnet"), 0.0).parameters()) == []
    supervision = Supervision(build("pspnet"), 0.7).train()
    assert supervision.weight == 0.7 and len(supervision(IMAGE)[1]) == 1
    # The head is its own; the network's weights are not counted twice.
    assert all(name.startswith("head.") for name, _ in supervision.named_parameters())
