"""Encoders start from other people's files, and wrong files are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from segstudio.architectures._base import ARCHITECTURES
from segstudio.core.errors import NotACheckpointError, UsageError
from segstudio.core.options import build_options
from segstudio.core.preprocessing import Preprocessing
from segstudio.training.encoder_weights import encoder_preprocessing, read_encoder_weights


def build(name: str, **options: Any) -> Any:
    page = ARCHITECTURES.get(name)
    return page(3, build_options(page.Options, {**page.smallest, **options}))


def test_a_timm_file_fills_an_encoder_of_timm(tmp_path: Path) -> None:
    import timm

    torch.manual_seed(0)
    whole = timm.create_model("resnet18", pretrained=False, num_classes=7)
    path = tmp_path / "resnet18.pth"
    torch.save({"state_dict": whole.state_dict()}, path)
    network = build("linknet")
    found = read_encoder_weights(network, path)
    tensors = whole.state_dict()
    assert len(found) > 90 and all(key.startswith("encoder.") for key in found)
    for key, value in found.items():
        assert torch.equal(value, tensors[key.removeprefix("encoder.")])
    missing, unexpected = network.load_state_dict(found, strict=False)
    assert not unexpected
    assert not [key for key in missing if "encoder" in key and "num_batches" not in key]


def test_a_vision_transformer_gets_its_positions_resized(tmp_path: Path) -> None:
    network = build("segmenter")
    width = network.encoder.patches.weight.shape[0]
    shapes = {key: value.shape for key, value in network.state_dict().items()}
    patch = network.options.patch
    theirs = {
        "cls_token": torch.randn(1, 1, width),
        "pos_embed": torch.randn(1, 1 + 9 * 9, width),
        "patch_embed.proj.weight": torch.randn(width, 3, patch, patch),
        "patch_embed.proj.bias": torch.randn(width),
    }
    for key, shape in shapes.items():
        if key.startswith(("encoder.blocks.", "encoder.norm.")):
            theirs[key.removeprefix("encoder.")] = torch.randn(shape)
    path = tmp_path / "vit.pth"
    torch.save(theirs, path)
    found = read_encoder_weights(network, path)
    name = next(key for key in shapes if ".positions." in key)
    assert found[name].shape == shapes[name]
    assert torch.equal(found[name][:, :1], theirs["pos_embed"][:, :1])
    assert torch.equal(found["encoder.tokens"], theirs["cls_token"])
    grid = theirs["pos_embed"][:, 1:]
    assert float(found[name][:, 1:].mean()) == pytest.approx(float(grid.mean()), abs=0.05)


def test_vgg_of_torchvision(tmp_path: Path) -> None:
    from torchvision.models import vgg16_bn

    with torch.device("meta"):
        shapes = {key: value.shape for key, value in vgg16_bn().state_dict().items()}
        network = ARCHITECTURES.get("segnet")(3)
    tensors = {
        key: torch.zeros(shape) + index
        for index, (key, shape) in enumerate(shapes.items())
        if key.startswith("features.")
    }
    path = tmp_path / "vgg16_bn.pth"
    torch.save(tensors, path)
    found = read_encoder_weights(network, path)
    assert torch.equal(found["encoder.0.0.conv.weight"], tensors["features.0.weight"])


def test_wrong_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"layer1.0.conv1.weight": torch.zeros(3, 3)}, path)
    with pytest.raises(NotACheckpointError, match=r"explains 0 of the \d+ tensors") as caught:
        read_encoder_weights(build("linknet"), path)
    assert str(path) in str(caught.value)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(NotACheckpointError):
        read_encoder_weights(build("linknet"), path)
    with pytest.raises((UsageError, NotACheckpointError)):
        read_encoder_weights(build("enet"), path)


# Parts of a block in timm and in EfficientNet-PyTorch: one that expands its channels, one not.
_PARTS = {
    True: {
        "conv_pw": "_expand_conv",
        "bn1": "_bn0",
        "conv_dw": "_depthwise_conv",
        "bn2": "_bn1",
        "conv_pwl": "_project_conv",
        "bn3": "_bn2",
    },
    False: {
        "conv_dw": "_depthwise_conv",
        "bn1": "_bn1",
        "conv_pw": "_project_conv",
        "bn2": "_bn2",
    },
}
_STAGES = ((False,), (True, True), (True,))


def mobile(stages: tuple[tuple[bool, ...], ...] = _STAGES) -> Any:
    """Return a network whose encoder has timm's names for inverted residual blocks."""

    def layer(name: str) -> nn.Module:
        return nn.BatchNorm2d(2) if name.startswith("bn") else nn.Conv2d(2, 2, 1, bias=False)

    def block(expands: bool) -> nn.Module:
        return nn.ModuleDict({name: layer(name) for name in _PARTS[expands]})

    blocks = nn.Sequential(*(nn.Sequential(*map(block, stage)) for stage in stages))
    network = build("linknet")
    ends = {name: layer(name) for name in ("conv_stem", "bn1", "conv_head", "bn2")}
    network.encoder = nn.ModuleDict({**ends, "blocks": blocks})
    return network


def their_names(network: Any) -> dict[str, torch.Tensor]:
    """Return random tensors under EfficientNet-PyTorch's names; each stands for its own place."""
    generator = torch.Generator().manual_seed(3)
    ends = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}
    pairs = [(network.encoder[name], theirs) for name, theirs in ends.items()]
    counted = [block for stage in network.encoder["blocks"] for block in stage]
    for number, block in enumerate(counted):
        names = _PARTS["conv_pwl" in block]
        pairs += [(block[name], f"_blocks.{number}.{names[name]}") for name in names]
    found = {"_fc.weight": torch.zeros(1000, 2)}
    for module, theirs in pairs:
        for leaf, value in module.state_dict().items():
            found[f"{theirs}.{leaf}"] = torch.rand(value.shape, generator=generator)
            if leaf != "num_batches_tracked":
                module.state_dict()[leaf].copy_(found[f"{theirs}.{leaf}"])
    return found


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_blocks_that_are_counted_through_find_their_stages(tmp_path: Path, prefix: str) -> None:
    network = mobile()
    tensors = their_names(network)
    path = tmp_path / "efficientnet.pth"
    torch.save({f"{prefix}{key}": value for key, value in tensors.items()}, path)
    filled = {
        key: value
        for key, value in network.state_dict().items()
        if key.startswith("encoder.") and not key.endswith("num_batches_tracked")
    }
    found = read_encoder_weights(mobile(), path)
    assert found.keys() == filled.keys()
    assert all(torch.equal(found[key], value) for key, value in filled.items())


@pytest.mark.parametrize("stages", [((False,), (True, True)), (*_STAGES, (True,))])
def test_a_deeper_encoder_of_counted_blocks_is_refused(
    tmp_path: Path, stages: tuple[tuple[bool, ...], ...]
) -> None:
    path = tmp_path / "efficientnet.pth"
    torch.save(their_names(mobile()), path)
    with pytest.raises(NotACheckpointError, match="explains 0 of"):
        read_encoder_weights(mobile(stages), path)


def test_the_input_is_normalised_as_timm_says() -> None:
    network = build("linknet")
    half = {"mean": (0.5, 0.25, 0.5), "std": (0.5, 0.5, 0.2)}
    network.encoder.pretrained_cfg = half
    found = encoder_preprocessing(network)
    assert found == Preprocessing(mean=(127.5, 63.75, 127.5), std=(127.5, 127.5, 51.0))
    imagenet = Preprocessing()
    for other in ({}, None, {"mean": None, "std": None}, {"mean": (0.5,), "std": (0.5,)}):
        network.encoder.pretrained_cfg = other
        assert encoder_preprocessing(network) == imagenet
    del network.encoder
    assert encoder_preprocessing(network) == imagenet
    found = encoder_preprocessing(build("linknet"))
    assert found.mean == pytest.approx(imagenet.mean) and found.std == pytest.approx(imagenet.std)
