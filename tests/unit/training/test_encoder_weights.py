"""Encoders start from other people's files, and wrong files are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from segstudio.architectures._base import ARCHITECTURES
from segstudio.core.errors import NotACheckpointError, UsageError
from segstudio.core.options import build_options
from segstudio.training.encoder_weights import read_encoder_weights


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
