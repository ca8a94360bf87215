"""The three pages over several scales: fusing, attention, and what may be inside them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segstudio.architectures._base import ARCHITECTURES, SegmentationNetwork
from segstudio.architectures._scales import MultiScaleNetwork, parse_scales
from segstudio.architectures.attention_to_scale import AttentionToScale, AttentionToScaleOptions
from segstudio.architectures.enet import ENet
from segstudio.architectures.hierarchical_attention import (
    HierarchicalAttention,
    HierarchicalAttentionOptions,
)
from segstudio.architectures.image_pyramid import ImagePyramid, ImagePyramidOptions
from segstudio.architectures.unet import UNet, UNetOptions
from segstudio.core.errors import UnknownNameError, UsageError
from segstudio.core.options import build_options

PAGES: list[type[MultiScaleNetwork]] = [ImagePyramid, AttentionToScale, HierarchicalAttention]
INNER = [
    ("enet", "", 16),
    ("unet", "width=4,depth=2", 4),
    ("segformer", "head_width=24", 24),
    ("linknet", "", 32),
]


@pytest.fixture(params=PAGES, ids=lambda page: page.name)
def page(request: pytest.FixtureRequest) -> type[MultiScaleNetwork]:
    """Return each page in turn."""
    return request.param


def build(page: type[MultiScaleNetwork], classes: int = 3, **values: Any) -> MultiScaleNetwork:
    """Return a network with the same weights each time, and norms that do something."""
    torch.manual_seed(0)
    values = {"inner": "unet", "inner_options": "width=4,depth=2", **values}
    network = page(classes, build_options(page.Options, values))
    return network.eval()


def up(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


@pytest.mark.parametrize("text", ["", "0", "1,1", "-1,1", "a,b", "0.5;1", "nan", "9", "1,", "inf"])
def test_senseless_scales_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="scales"):
        parse_scales(text)


def test_scales_are_put_in_order() -> None:
    assert parse_scales(" 2, 0.5,1 ") == (0.5, 1.0, 2.0)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"inner": "image-pyramid"}, "cannot be inside"),
        ({"inner": "hierarchical-attention"}, "cannot be inside"),
        ({"inner_options": "width"}, "key=value"),
        ({"inner_options": "width=4;depth=2"}, "width"),
        ({"inner_options": "=4"}, "key=value"),
        ({"inner_options": "depht=2"}, "did you mean depth"),
        ({"inner_options": "depth=99"}, "depth"),
        ({"scales": "big"}, "scales"),
    ],
)
def test_senseless_options_are_refused(
    page: type[MultiScaleNetwork], values: dict[str, str], words: str
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        build(page, **values)
    assert "\n" not in str(caught.value)


def test_unknown_inner_architectures_are_refused(page: type[MultiScaleNetwork]) -> None:
    with pytest.raises(UnknownNameError, match="did you mean enet"):
        build(page, inner="enet2", inner_options="")


def test_a_comma_without_a_key_belongs_to_the_value() -> None:
    with pytest.raises(UsageError, match="not '4,8'"):
        build(ImagePyramid, inner_options="depth=2, width=4,8")
    network = build(ImagePyramid, inner_options=" depth = 3 , batch_norm=no ")
    assert network.inner.options == UNetOptions(depth=3, batch_norm=False)


@pytest.mark.parametrize("values", [{"scales": "1"}, {"train_scales": "1"}])
def test_attention_needs_two_scales(values: dict[str, str]) -> None:
    page = HierarchicalAttention if "train_scales" in values else AttentionToScale
    with pytest.raises(UsageError, match="two scales"):
        build(page, **values)


def test_one_scale_is_the_inner_network() -> None:
    network = build(ImagePyramid, scales="1")
    chained = build(HierarchicalAttention, scales="1")
    image = torch.rand(2, 3, 33, 47)
    with torch.inference_mode():
        assert torch.equal(network(image), network.inner(image))
        assert torch.equal(chained(image), chained.inner(image))


@pytest.mark.parametrize("fuse", ["max", "mean"])
def test_the_pyramid_fuses_logits(fuse: str) -> None:
    network = build(ImagePyramid, scales="0.5,1,2", fuse=fuse)
    image = torch.rand(1, 3, 24, 40)
    with torch.inference_mode():
        parts = [network.inner(up(image, size)) for size in ((12, 20), (24, 40), (48, 80))]
        stack = torch.stack([up(part, (24, 40)) for part in parts])
        wanted = stack.amax(0) if fuse == "max" else stack.mean(0)
        torch.testing.assert_close(network(image), wanted)
        for found, part in zip(network.scale_logits(image), parts, strict=True):
            torch.testing.assert_close(found, part)


def test_work_is_done_at_the_resolution_of_the_head(page: type[MultiScaleNetwork]) -> None:
    network = build(page, inner="segformer", inner_options="head_width=8", scales="0.5,1,2")
    with torch.inference_mode():
        image = torch.rand(1, 3, 64, 100)
        assert network(image).shape == network.inner(image).shape == (1, 3, 16, 25)


def test_weights_of_the_scales_are_a_distribution() -> None:
    network = build(AttentionToScale, scales="0.5,0.75,1", width=8)
    assert isinstance(network, AttentionToScale)
    nn.init.normal_(network.attention[2].weight)
    image = torch.rand(1, 3, 40, 28)
    with torch.inference_mode():
        weights = network.scale_weights(image)
        assert weights.shape == (1, 3, 40, 28)
        torch.testing.assert_close(weights.sum(1), torch.ones(1, 40, 28))
        assert float(weights.std()) > 0.01
        logits = torch.stack([up(part, (40, 28)) for part in network.scale_logits(image)], 1)
        torch.testing.assert_close(network(image), (weights[:, :, None] * logits).sum(1))


@pytest.mark.parametrize("chosen", [0, 1])
def test_attention_can_choose_a_scale(chosen: int) -> None:
    network = build(AttentionToScale, scales="0.5,1", width=8)
    with torch.inference_mode():
        network.attention[2].bias[chosen] = 50.0
        image = torch.rand(1, 3, 32, 48)
        wanted = up(network.scale_logits(image)[chosen], (32, 48))
        torch.testing.assert_close(network(image), wanted)


def test_attention_looks_at_all_scales() -> None:
    network = build(AttentionToScale, scales="0.5,1", width=8)
    with torch.inference_mode():
        image = torch.rand(1, 3, 32, 48)
        seen: list[Tensor] = []
        network.attention.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
        network(image)
        small, _ = network.features_and_logits(up(image, (16, 24)))
        large, _ = network.features_and_logits(image)
    torch.testing.assert_close(seen[0], torch.cat([up(small, (32, 48)), large], 1))


class _Constant(nn.Module):
    """A gate that says the same of every pixel."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, features: Tensor) -> Tensor:
        return features.new_full((len(features), 1, *features.shape[-2:]), self.value)


@pytest.mark.parametrize(
    ("value", "shares"), [(0.0, (0.5, 0.25, 0.25)), (99.0, (1, 0, 0)), (-99.0, (0, 0, 1))]
)
def test_scales_are_chained_from_the_largest_down(
    value: float, shares: tuple[float, float, float]
) -> None:
    network = build(HierarchicalAttention, scales="0.5,1,2", width=8)
    network.gate = _Constant(value)
    image = torch.rand(1, 3, 24, 32)
    with torch.inference_mode():
        parts = [up(part, (24, 32)) for part in network.scale_logits(image)]
        wanted = sum(share * part for share, part in zip(shares, parts, strict=True))
        torch.testing.assert_close(network(image), wanted)


def test_the_gate_looks_at_the_lower_scale() -> None:
    network = build(HierarchicalAttention, scales="0.5,1", width=8)
    assert isinstance(network, HierarchicalAttention)
    image = torch.rand(1, 3, 24, 32)
    with torch.inference_mode():
        (attention,) = network.attention_maps(image)
        features, low = network.features_and_logits(up(image, (12, 16)))
        torch.testing.assert_close(attention, network.gate(features).sigmoid())
        weight = up(attention, (24, 32))
        wanted = up(attention * low, (24, 32)) + (1 - weight) * network.inner(image)
        torch.testing.assert_close(network(image), wanted)
    assert float(attention.std()) > 1e-3


def test_training_has_scales_of_its_own() -> None:
    network = build(HierarchicalAttention, scales="0.25,0.5,1,2", train_scales="0.5,1", width=8)
    image = torch.rand(2, 3, 32, 32)
    assert [part.shape[-1] for part in network.scale_logits(image)] == [8, 16, 32, 64]
    network.train()
    assert [part.shape[-1] for part in network.scale_logits(image)] == [16, 32]
    network(image).sum().backward()
    assert all(entry.grad is not None for entry in network.parameters())


def test_features_are_what_the_classifier_sees() -> None:
    network = build(AttentionToScale, inner="enet", inner_options="", width=8)
    inner = network.inner
    image = torch.rand(1, 3, 45, 61)
    seen: list[Tensor] = []
    assert isinstance(inner, ENet)
    with torch.inference_mode():
        features, logits = network.features_and_logits(image)
        assert not inner.head._forward_pre_hooks
        inner.head.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
        torch.testing.assert_close(logits, inner(image))
    # The image was padded to 48 x 64; half of 45 x 61 belongs to it.
    assert seen[0].shape[-2:] == (24, 32)
    assert torch.equal(features, seen[0][..., :23, :31])


def test_logits_are_looked_at_where_no_page_names_a_classifier(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(UNet, "classifier", "")
    network = build(AttentionToScale, scales="0.5,1", width=8)
    assert network.feature_channels == 3
    with torch.inference_mode():
        features, logits = network.features_and_logits(torch.rand(1, 3, 20, 20))
        assert features is logits
        assert network(torch.rand(1, 3, 20, 20)).shape == (1, 3, 20, 20)


def test_facts_of_the_inner_network_are_kept(
    page: type[MultiScaleNetwork], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build(page)
    assert (network.align_corners, network.trainable) == (False, True)
    monkeypatch.setattr(UNet, "align_corners", True)
    monkeypatch.setattr(UNet, "trainable", False)
    network = build(page)
    assert (network.align_corners, network.trainable) == (True, False)


@pytest.mark.parametrize(("inner", "text", "channels"), INNER, ids=[entry[0] for entry in INNER])
def test_wrapped_weights_are_recognised(
    page: type[MultiScaleNetwork], inner: str, text: str, channels: int
) -> None:
    values = {"inner": inner, "inner_options": text, "scales": "0.7,1,1.5"}
    with torch.device("meta"):
        network = page(7, build_options(page.Options, values))
    assert network.feature_channels == channels
    tensors = {key: torch.zeros(value.shape) for key, value in network.state_dict().items()}
    for key in tensors:
        if key.endswith("_scales") or key.startswith("pyramid_"):
            tensors[key] = torch.tensor([0.7, 1, 1.5])
    recognition = page.recognise(tensors)
    assert recognition is not None and recognition.classes == 7
    assert recognition.options.inner == inner
    assert recognition.options.scales == "0.7,1,1.5"
    inner_page = ARCHITECTURES.get(inner)
    assert isinstance(network.inner, inner_page)
    with torch.device("meta"):
        again = page(7, recognition.options)
    assert again.inner.options == network.inner.options
    assert {key: value.shape for key, value in again.state_dict().items()} == {
        key: value.shape for key, value in tensors.items()
    }


def test_the_way_of_fusing_comes_back() -> None:
    for fuse in ("max", "mean"):
        recognition = ImagePyramid.recognise(build(ImagePyramid, fuse=fuse).state_dict())
        assert recognition is not None
        assert recognition.options == ImagePyramidOptions(
            inner="unet", inner_options="width=4,depth=2", fuse=fuse
        )


def test_scales_without_values_are_guessed_by_their_number() -> None:
    for scales, wanted in (("0.5,0.75,1", "0.5,0.75,1"), ("0.3,1", "0.5,1")):
        with torch.device("meta"):
            network = build(AttentionToScale, scales=scales, width=8)
        recognition = AttentionToScale.recognise(network.state_dict())
        assert recognition is not None
        assert recognition.options == AttentionToScaleOptions(
            inner="unet", inner_options="width=4,depth=2", scales=wanted, width=8
        )


def test_both_lists_of_scales_come_back() -> None:
    options = HierarchicalAttentionOptions(
        inner="unet",
        inner_options="width=4,depth=2",
        scales="0.25,0.5,1,2",
        train_scales="0.4,1",
        width=8,
    )
    recognition = HierarchicalAttention.recognise(HierarchicalAttention(2, options).state_dict())
    assert recognition is not None and recognition.options == options


def test_other_weights_are_not_claimed(page: type[MultiScaleNetwork]) -> None:
    network = build(page)
    tensors = network.state_dict()
    assert page.recognise(tensors) is not None
    assert page.recognise(network.inner.state_dict()) is None
    own = {key: value for key, value in tensors.items() if not key.startswith("inner.")}
    assert page.recognise(own) is None
    assert page.recognise({**own, "inner.fc.weight": torch.zeros(3, 3)}) is None
    twice = {f"inner.{key}": value for key, value in tensors.items()}
    assert page.recognise({**own, **twice}) is None
    for other in ARCHITECTURES.names():
        claimed = ARCHITECTURES.get(other).recognise(tensors)
        assert (claimed is not None) == (other == page.name), other


def test_damaged_scales_are_no_recognition(page: type[MultiScaleNetwork]) -> None:
    tensors = dict(build(page).state_dict())
    for key in tensors:
        if key.endswith("_scales") or key.startswith("pyramid_"):
            tensors[key] = torch.full_like(tensors[key], torch.nan)
    with pytest.raises(ValueError, match="scales"):
        page.recognise(tensors)


def test_foreign_layouts_inside_are_not_claimed() -> None:
    network = build(ImagePyramid, inner="enet", inner_options="")
    assert isinstance(network.inner, SegmentationNetwork)
    tensors = {key: value for key, value in network.state_dict().items() if "inner" not in key}
    tensors["inner.transposed_conv.weight"] = torch.zeros(16, 3, 3, 3)
    tensors["inner.initial_block.main_branch.weight"] = torch.zeros(13, 3, 3, 3)
    assert ImagePyramid.recognise(tensors) is None
