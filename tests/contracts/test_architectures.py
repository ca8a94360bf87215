"""What every registered architecture has to keep, plugins included."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from segstudio.architectures._base import ARCHITECTURES, PublishedSize, SegmentationNetwork
from segstudio.checkpoints.native import NativeCheckpoint, save_native, state_dict_of
from segstudio.checkpoints.opening import build_network, open_checkpoint
from segstudio.core.errors import NotACheckpointError
from segstudio.core.label_space import LabelSpace
from segstudio.core.options import build_options, option_fields, options_to_json
from segstudio.core.preprocessing import Preprocessing

CLASSES = 5
SIZES = [(1, 1), (7, 3), (16, 16), (33, 47), (64, 96), (97, 131)]
VARIANTS = [
    pytest.param(name, options, id=f"{name}-{variant}" if variant else name)
    for name, page in ARCHITECTURES.items()
    for variant, options in page.variants.items()
]


@pytest.fixture(params=ARCHITECTURES.names())
def architecture(request: pytest.FixtureRequest) -> type[SegmentationNetwork]:
    """Return each architecture in turn."""
    return ARCHITECTURES.get(request.param)


@pytest.fixture
def small(architecture: type[SegmentationNetwork]) -> SegmentationNetwork:
    """Return the smallest network of each architecture, always with the same weights."""
    torch.manual_seed(0)
    options = build_options(architecture.Options, architecture.smallest)
    return architecture(CLASSES, options).eval()


def blank(name: str, options: Mapping[str, Any], classes: int = CLASSES) -> SegmentationNetwork:
    """Return a network of names and shapes only."""
    page = ARCHITECTURES.get(name)
    with torch.device("meta"), warnings.catch_warnings():
        # Initialising nothing is what this is for.
        warnings.filterwarnings("ignore", "Initializing zero-element tensors is a no-op")
        return page(classes, build_options(page.Options, options)).eval()


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


def test_shapes_at_any_size(small: SegmentationNetwork) -> None:
    for height, width in SIZES:
        image = torch.rand(1, 3, height, width)
        with torch.inference_mode():
            out = small(image)
            logits = small.logits(image)
        assert out.shape[:2] == (1, CLASSES)
        assert 1 <= out.shape[2] <= height and 1 <= out.shape[3] <= width
        assert logits.shape == (1, CLASSES, height, width)
        assert logits.dtype == torch.float32
        assert bool(torch.isfinite(logits).all()), (height, width)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_every_variant_can_be_told_from_its_tensors(name: str, options: dict[str, Any]) -> None:
    network = blank(name, options)
    tensors = network.state_dict()
    claims = {key: page.recognise(tensors) for key, page in ARCHITECTURES.items()}
    assert [key for key, claim in claims.items() if claim is not None] == [name]
    recognition = claims[name]
    assert recognition is not None
    assert (recognition.source, recognition.classes) == ("segstudio", CLASSES)
    again = blank(name, options_to_json(recognition.options)).state_dict()
    assert shapes(again) == shapes(tensors)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_every_variant_gives_logits_at_odd_sizes(name: str, options: dict[str, Any]) -> None:
    network = blank(name, options)
    if not network.trainable:
        pytest.skip(f"{name} decides on its values which pixels to look at")
    image = torch.empty(2, 3, 97, 131, device="meta")
    with torch.inference_mode():
        assert network.logits(image).shape == (2, CLASSES, 97, 131)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        pytest.param(name, size, id=f"{name}-{size.millions:g}M")
        for name, page in ARCHITECTURES.items()
        for size in page.facts.sizes
    ],
)
def test_parameters_are_as_many_as_published(name: str, size: PublishedSize) -> None:
    count = blank(name, size.options, size.classes).parameter_count()
    assert count == pytest.approx(1e6 * size.millions, rel=size.tolerance), size.source


def shapes(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Size]:
    """Return the shape of each tensor."""
    return {name: value.shape for name, value in tensors.items()}


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
    # Untrained networks differ in the spread of their logits by orders of magnitude.
    spread = float(together.std())
    torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-3 * spread)
    assert not torch.allclose(together[0], together[1], rtol=0, atol=1e-2 * spread)


def test_gradients_reach_every_parameter(small: SegmentationNetwork) -> None:
    torch.manual_seed(1)
    if not small.trainable:
        pytest.skip("its training needs more than label maps")
    small.train()
    target = torch.randint(0, CLASSES, (2, 64, 64))
    F.cross_entropy(small.logits(torch.rand(2, 3, 64, 64)), target).backward()
    for name, parameter in small.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name
        # A bias in front of a normalisation may have none; a weight may not.
        assert parameter.ndim < 2 or bool((parameter.grad != 0).any()), name


def test_own_names_are_left_alone(small: SegmentationNetwork) -> None:
    tensors = small.state_dict()
    assert shapes(type(small).rename_keys(tensors)) == shapes(tensors)


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
