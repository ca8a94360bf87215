"""Mask R-CNN: painting in score order, and torchvision's own layout and results."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segstudio.architectures.mask_rcnn import MaskRCNN, MaskRCNNOptions
from segstudio.core.label_space import load_label_space, load_mapping

SMALL = MaskRCNNOptions(min_size=64, max_size=96, proposals=30, instances=12)


@pytest.fixture(scope="module")
def network() -> MaskRCNN:
    """Return a small detector of five classes with weights that find something."""
    torch.manual_seed(0)
    return MaskRCNN(5, SMALL).eval()


class _Found(nn.Module):
    """Stands in for the heads: says that these instances were found."""

    def __init__(self, boxes: list[list[float]], labels: list[int], scores: list[float]) -> None:
        super().__init__()
        self.found = {
            "boxes": torch.tensor(boxes),
            "labels": torch.tensor(labels),
            "scores": torch.tensor(scores),
            "masks": torch.ones(len(boxes), 1, 28, 28),
        }

    def forward(self, *_: Any) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        return [self.found], {}


def test_the_higher_score_is_on_top() -> None:
    torch.manual_seed(0)
    network = MaskRCNN(5, SMALL).eval()
    boxes = [[0.0, 0.0, 40.0, 40.0], [20.0, 20.0, 60.0, 60.0], [4.0, 4.0, 56.0, 56.0]]
    network.detector.roi_heads = _Found(boxes, [2, 4, 1], [0.7, 0.9, 0.3])
    image = torch.rand(1, 3, 64, 64)
    labels, scores = network.paint(image)
    # Row, column: in the first only, in the first and second, in the third only, in none.
    for row, column, label, score in ((2, 2, 2, 0.7), (30, 30, 4, 0.9), (50, 10, 1, 0.3)):
        assert int(labels[0, row, column]) == label
        assert float(scores[0, row, column]) == pytest.approx(score)
    assert int(labels[0, 62, 2]) == 0 and float(scores[0, 62, 2]) == 0

    chances = network(image).softmax(1)[0]
    assert chances[:, 30, 30].tolist() == pytest.approx([0.1, 0, 0, 0, 0.9], abs=1e-5)
    assert chances[:, 50, 10].tolist() == pytest.approx([0.7, 0.3, 0, 0, 0], abs=1e-5)
    assert chances[:, 62, 2].tolist() == pytest.approx([1, 0, 0, 0, 0], abs=1e-5)
    # Below one half an instance is in the scores, but the background wins.
    assert int(chances[:, 50, 10].argmax()) == 0


def test_of_equal_scores_the_first_is_on_top() -> None:
    torch.manual_seed(0)
    network = MaskRCNN(5, SMALL).eval()
    boxes = [[0.0, 0.0, 40.0, 40.0]] * 3
    network.detector.roi_heads = _Found(boxes, [3, 1, 2], [0.8, 0.8, 0.8])
    labels, _ = network.paint(torch.rand(1, 3, 64, 64))
    assert int(labels[0, 20, 20]) == 3


def test_logits_are_a_distribution_with_a_floor(network: MaskRCNN) -> None:
    with torch.inference_mode():
        logits = network(torch.rand(1, 3, 40, 52))
    torch.testing.assert_close(logits.exp().sum(1), torch.ones(1, 40, 52))
    assert float(logits.min()) >= -13.9


def test_the_map_is_that_of_torchvisions_own_instances(network: MaskRCNN) -> None:
    torch.manual_seed(3)
    image = torch.rand(3, 50, 70)
    with torch.inference_mode():
        found = network.detector([image])[0]
        labels, scores = network.paint(image[None])
    assert len(found["scores"]) == SMALL.instances
    wanted = torch.zeros(50, 70)
    classes = torch.zeros(50, 70, dtype=torch.int64)
    for label, score, mask in zip(found["labels"], found["scores"], found["masks"], strict=True):
        better = (mask[0] > 0.5) & (score > wanted)
        wanted[better], classes[better] = score, label
    assert torch.equal(scores[0], wanted)
    assert torch.equal(labels[0], classes)
    assert len(classes.unique()) > 2


def test_very_long_images_keep_a_pixel(network: MaskRCNN) -> None:
    for size in ((1, 700), (500, 2)):
        with torch.inference_mode():
            logits = network(torch.rand(1, 3, *size))
        assert logits.shape == (1, 5, *size)
        assert bool(torch.isfinite(logits).all())


def test_the_detector_stays_at_inference() -> None:
    with torch.device("meta"):
        network = MaskRCNN(3, SMALL)
    assert not network.trainable
    assert network.train().training
    assert not any(module.training for module in network.detector.modules())


def test_published_norms_add_nothing_to_the_variance() -> None:
    with torch.device("meta"):
        first, second = MaskRCNN(3), MaskRCNN(3, MaskRCNNOptions("v2"))
    body: Any = first.detector.backbone
    assert body.body.bn1.eps == 0.0 and not list(body.body.bn1.parameters())
    assert isinstance(second.detector.backbone.body.bn1, nn.BatchNorm2d)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_torchvisions_files_fill_the_network(version: str) -> None:
    with torch.device("meta"):
        wanted = MaskRCNN(91, MaskRCNNOptions(version)).state_dict()
    tensors = {key.removeprefix("detector."): value for key, value in wanted.items()}
    if version == "v1":
        # The published file is older than the layout of today's code.
        tensors = {_old(key): value for key, value in tensors.items()}
        assert "rpn.head.conv.weight" in tensors
        assert "backbone.fpn.layer_blocks.3.bias" in tensors
        assert "roi_heads.mask_head.mask_fcn4.weight" in tensors
    recognition = MaskRCNN.recognise(tensors)
    assert recognition is not None
    assert recognition.options == MaskRCNNOptions(version)
    assert (recognition.source, recognition.classes) == ("torchvision", 91)
    assert MaskRCNN.rename_keys(tensors).keys() == wanted.keys()
    preprocessing = recognition.preprocessing
    assert preprocessing is not None
    assert (preprocessing.mean, preprocessing.std) == ((0, 0, 0), (255, 255, 255))


def _old(key: str) -> str:
    key = re.sub(r"(rpn\.head\.conv)\.0\.0\.", r"\1.", key)
    key = re.sub(r"(fpn\.\w+_blocks\.\d)\.0\.", r"\1.", key)
    return re.sub(
        r"mask_head\.(\d)\.0\.", lambda match: f"mask_head.mask_fcn{int(match[1]) + 1}.", key
    )


def test_the_91_outputs_have_names() -> None:
    with torch.device("meta"):
        tensors = MaskRCNN(91).state_dict()
    foreign = {key.removeprefix("detector."): value for key, value in tensors.items()}
    recognition = MaskRCNN.recognise(foreign)
    assert recognition is not None and recognition.label_space is not None
    space, coco = load_label_space(recognition.label_space), load_label_space("coco")
    assert len(space) == 91
    # An output's number is COCO's category id.
    assert [entry.source_id for entry in space.classes] == list(range(91))
    for entry in coco.classes:
        assert space.names[entry.source_id] == entry.name
    table = load_mapping("coco-instances-to-coco").table(space, coco)
    assert [int(table[entry.source_id]) for entry in coco.classes] == list(range(80))
    assert int(table[0]) == coco.ignore_index


def test_other_detectors_are_not_claimed() -> None:
    with torch.device("meta"):
        tensors = dict(MaskRCNN(4).state_dict())
    assert MaskRCNN.recognise(tensors) is not None
    deeper = {**tensors, "detector.backbone.body.layer3.6.conv3.weight": torch.zeros(1)}
    assert MaskRCNN.recognise(deeper) is None
    boxes_only = {key: value for key, value in tensors.items() if "mask_" not in key}
    assert MaskRCNN.recognise(boxes_only) is None
