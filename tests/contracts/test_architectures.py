"""What every registered architecture has to keep, plugins included."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from segstudio.architectures._base import ARCHITECTURES, SegmentationNetwork
from segstudio.checkpoints.native import NativeCheckpoint, save_native, state_dict_of
from segstudio.checkpoints.opening import build_network, open_checkpoint
from segstudio.core.errors import NotACheckpointError
from segstudio.core.label_space import LabelSpace
from segstudio.core.options import build_options, option_fields, options_to_json
from segstudio.core.preprocessing import Preprocessing

CLASSES = 5
SIZES = [(1, 1), (7, 3), (16, 16), (33, 47), (64, 96), (97, 131)]
SMALLER: dict[str, dict[str, Any]] = {"unet": {"width": 8}}
"""Options for the tests that do not depend on the size of the network."""


@pytest.fixture(params=ARCHITECTURES.names())
def architecture(request: pytest.FixtureRequest) -> type[SegmentationNetwork]:
    """Return each architecture in turn."""
    return ARCHITECTURES.get(request.param)


@pytest.fixture
def small(architecture: type[SegmentationNetwork]) -> SegmentationNetwork:
    """Return a small network of each architecture, always with the same weights."""
    torch.manual_seed(0)
    options = build_options(architecture.Options, SMALLER.get(architecture.name, {}))
    return architecture(CLASSES, options).eval()


def test_facts_are_filled(architecture: type[SegmentationNetwork]) -> None:
    facts = architecture.facts
    assert facts.title and facts.paper
    assert 1990 < facts.year < 2100
    assert facts.output_stride >= 1
    assert architecture.__doc__


def test_options_are_described(architecture: type[SegmentationNetwork]) -> None:
    options = architecture.Options()
    assert dataclasses.is_dataclass(options)
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.anything = 1
    for entry in option_fields(architecture.Options):
        assert entry.help.endswith("."), entry.name
        assert entry.kind in {bool, int, float, str}, entry.name
    # The default passes its own checks, and survives the way through a file.
    assert build_options(architecture.Options, options_to_json(options)) == options


def test_shapes_at_any_size(architecture: type[SegmentationNetwork]) -> None:
    torch.manual_seed(0)
    network = architecture(CLASSES).eval()
    for height, width in SIZES:
        image = torch.rand(1, 3, height, width)
        with torch.inference_mode():
            out = network(image)
            logits = network.logits(image)
        assert out.shape[:2] == (1, CLASSES)
        assert 1 <= out.shape[2] <= height and 1 <= out.shape[3] <= width
        assert logits.shape == (1, CLASSES, height, width)
        assert logits.dtype == torch.float32
        assert bool(torch.isfinite(logits).all()), (height, width)


def test_logits_are_forward_upsampled(small: SegmentationNetwork) -> None:
    image = torch.rand(1, 3, 50, 70)
    with torch.inference_mode():
        wanted = F.interpolate(
            small(image), size=(50, 70), mode="bilinear", align_corners=small.align_corners
        )
        torch.testing.assert_close(small.logits(image), wanted)


def test_evaluation_is_deterministic_and_per_image(small: SegmentationNetwork) -> None:
    first, second = torch.rand(2, 1, 3, 45, 61)
    with torch.inference_mode():
        alone = small.logits(first)
        assert torch.equal(alone, small.logits(first))
        together = small.logits(torch.cat([first, second]))
    torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(together[0], together[1], atol=1e-3)


def test_gradients_reach_every_parameter(small: SegmentationNetwork) -> None:
    torch.manual_seed(1)
    small.train()
    target = torch.randint(0, CLASSES, (2, 64, 64))
    F.cross_entropy(small.logits(torch.rand(2, 3, 64, 64)), target).backward()
    for name, parameter in small.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name
        # A bias in front of a normalisation may have none; a weight may not.
        assert parameter.ndim < 2 or bool((parameter.grad != 0).any()), name


def test_own_weights_are_recognised_by_one_page(small: SegmentationNetwork) -> None:
    tensors = small.state_dict()
    claims = {name: page.recognise(tensors) for name, page in ARCHITECTURES.items()}
    assert [name for name, claim in claims.items() if claim is not None] == [small.name]
    recognition = claims[small.name]
    assert recognition is not None
    assert (recognition.source, recognition.classes) == ("segstudio", CLASSES)
    with torch.device("meta"):
        again = type(small)(recognition.classes, recognition.options).state_dict()
    assert {name: value.shape for name, value in again.items()} == {
        name: value.shape for name, value in tensors.items()
    }
    assert type(small).rename_keys(tensors).keys() == tensors.keys()


def test_other_weights_are_not_recognised(architecture: type[SegmentationNetwork]) -> None:
    assert architecture.recognise({}) is None
    assert architecture.recognise({"fc.weight": torch.zeros(3, 3)}) is None


def test_weights_survive_a_file(small: SegmentationNetwork, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    space = LabelSpace.from_json({"name": "five", "classes": list("abcde")})
    preprocessing = Preprocessing(resize="keep-ratio", size=(64, 32))
    save_native(
        path,
        NativeCheckpoint(
            architecture=small.name,
            options=options_to_json(small.options),
            label_space=space,
            preprocessing=preprocessing,
            state_dict=state_dict_of(small),
        ),
    )
    checkpoint = open_checkpoint(path)
    assert checkpoint.architecture == small.name
    assert checkpoint.options == small.options
    assert (checkpoint.label_space, checkpoint.preprocessing) == (space, preprocessing)
    assert checkpoint.fits and not checkpoint.notes
    network = build_network(checkpoint)
    image = torch.rand(1, 3, 40, 56)
    with torch.inference_mode():
        assert torch.equal(network.logits(image), small.logits(image))


def test_senseless_shapes_are_refused(small: SegmentationNetwork, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    for shape in ((), (3,), (2, 2), (1, 1, 1, 1, 1), (0,), (0, 0, 0, 0)):
        torch.save({name: torch.zeros(shape) for name in small.state_dict()}, path)
        with pytest.raises(NotACheckpointError) as caught:
            build_network(open_checkpoint(path))
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
