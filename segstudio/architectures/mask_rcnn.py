"""Mask R-CNN, as a semantic network.

K. He, G. Gkioxari, P. Dollar, R. Girshick: "Mask R-CNN", ICCV 2017, arXiv:1703.06870.  The second
version is torchvision's with the recipe of Y. Li et al.: "Benchmarking Detection Transfer Learning
with Vision Transformers", arXiv:2111.11429.

The detector is torchvision's, with a ResNet-50 and a feature pyramid.  It finds instances: a box,
a class, a score and a mask each.  Here they are painted into one semantic map, the lowest score
first, so that where two overlap the higher score is on top; and the map of the scores is kept.

The logits are the logarithm of a distribution per pixel: an instance of class k and score s gives
s to k and the rest, 1 - s, to the background, class 0; where there is no instance the background
has it all.  So the softmax gives the score map back, and the argmax shows the instances whose
score is above one half.  Every class has a floor of 1e-6, which keeps the logits finite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segstudio.architectures._base import (
    ARCHITECTURES,
    Facts,
    PublishedSize,
    Recognition,
    SegmentationNetwork,
    StateDict,
)
from segstudio.core.options import option
from segstudio.core.preprocessing import Preprocessing

_FLOOR = 1e-6
_MASK_THRESHOLD = 0.5
_COCO_OUTPUTS = 91
_OURS = "detector."
_BY_DETECTOR = Preprocessing(mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0))
"""Pixels go in as 0..1: the detector resizes, normalises and pads by itself."""


@dataclass(frozen=True)
class MaskRCNNOptions:
    """Variant of Mask R-CNN, and the limits that torchvision's detector works within."""

    version: str = option(
        "v1",
        "torchvision's maskrcnn_resnet50_fpn (v1) or maskrcnn_resnet50_fpn_v2 (v2).",
        choices=("v1", "v2"),
    )
    min_size: int = option(
        800,
        "Pixels that the shorter side of the image is resized to.",
        minimum=32,
        maximum=4096,
    )
    max_size: int = option(
        1333,
        "Pixels that the longer side may have then; else the image is made smaller.",
        minimum=32,
        maximum=8192,
    )
    proposals: int = option(
        1000, "Regions per image that are classified.", minimum=1, maximum=10000
    )
    instances: int = option(100, "Instances per image that are kept.", minimum=1, maximum=1000)
    min_score: float = option(0.05, "Score above which an instance is kept.", minimum=0, maximum=1)


def _detector(classes: int, options: MaskRCNNOptions) -> nn.Module:
    """Build torchvision's detector without any weights of theirs."""
    from torchvision.models.detection import MaskRCNN as Detector  # type: ignore[import-untyped]
    from torchvision.models.detection import maskrcnn_resnet50_fpn_v2
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone  # type: ignore[import-untyped]
    from torchvision.ops import FrozenBatchNorm2d  # type: ignore[import-untyped]

    limits: dict[str, Any] = {
        "min_size": options.min_size,
        "max_size": options.max_size,
        "rpn_pre_nms_top_n_test": options.proposals,
        "rpn_post_nms_top_n_test": options.proposals,
        "box_detections_per_img": options.instances,
        "box_score_thresh": options.min_score,
    }
    detector: nn.Module
    if options.version == "v2":
        detector = maskrcnn_resnet50_fpn_v2(
            weights=None, weights_backbone=None, num_classes=classes, **limits
        )
    else:
        backbone = resnet_fpn_backbone(backbone_name="resnet50", weights=None, trainable_layers=5)
        for module in backbone.modules():
            if isinstance(module, FrozenBatchNorm2d):
                # The published weights were made with norms that add nothing to the variance.
                module.eps = 0.0
        detector = Detector(backbone, classes, **limits)
    return detector


@ARCHITECTURES.register("mask-rcnn")
class MaskRCNN(SegmentationNetwork):
    """torchvision's Mask R-CNN, its instances painted into a semantic map in score order.

    Class 0 is the background.  `forward` wants pixels from 0 to 1, RGB, and gives logits at full
    resolution; it takes the images one by one, so a batch gives what its images give alone.  The
    detector always runs as at inference and in full precision: training it needs boxes and masks
    of instances, which label maps do not hold, and bf16 cannot tell neighbouring pixels apart
    beyond 256.
    """

    Options = MaskRCNNOptions
    facts = Facts(
        title="Mask R-CNN",
        paper="He et al.: Mask R-CNN, ICCV 2017, arXiv:1703.06870",
        year=2017,
        output_stride=4,
        published="34.6 mask AP on COCO val2017 (v1, torchvision), 41.8 (v2)",
        sizes=(
            PublishedSize(44.401393, _COCO_OUTPUTS, {}, "torchvision's documentation", 1e-6),
            PublishedSize(
                46.359409, _COCO_OUTPUTS, {"version": "v2"}, "torchvision's documentation", 1e-6
            ),
        ),
    )
    variants = {"v1": {}, "v2": {"version": "v2"}}
    smallest = {"min_size": 32, "max_size": 64, "proposals": 20, "instances": 10}
    trainable = False

    def __init__(self, classes: int, options: MaskRCNNOptions | None = None) -> None:
        super().__init__(classes, options)
        self.detector = _detector(classes, self.options)
        self.detector.eval()

    def train(self, mode: bool = True) -> MaskRCNN:
        """Set the mode, but keep the detector at inference; see the class."""
        super().train(mode)
        self.detector.eval()
        return self

    def forward(self, image: Tensor) -> Tensor:
        labels, scores = self.paint(image)
        floor = min(_FLOOR, 1 / (2 * self.classes))
        share = 1 - self.classes * floor
        chances = scores.new_full((len(labels), self.classes, *labels.shape[-2:]), floor)
        chances[:, 0] += share * (1 - scores)
        # Where nothing was painted this adds a score of 0 to the background.
        chances.scatter_add_(1, labels[:, None], share * scores[:, None])
        return chances.log_()

    @torch.no_grad()
    def paint(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the semantic map and the score map of the instances.

        Parameters
        ----------
        image : Tensor of shape (N, 3, H, W), floating
            RGB, 0..1.

        Returns
        -------
        labels : Tensor of shape (N, H, W), int64
            Class of the topmost instance, 0 where there is none.
        scores : Tensor of shape (N, H, W), float32
            Its score, 0 where there is none.
        """
        # Full precision whatever the caller's autocast says: see the class.
        with torch.autocast(image.device.type, enabled=False):
            painted = [self._paint_one(entry) for entry in image.float()]
        labels, scores = zip(*painted, strict=True)
        return torch.stack(labels), torch.stack(scores)

    def _paint_one(self, image: Tensor) -> tuple[Tensor, Tensor]:
        from torchvision.models.detection.roi_heads import paste_masks_in_image  # type: ignore[import-untyped]
        from torchvision.models.detection.transform import resize_boxes  # type: ignore[import-untyped]

        height, width = image.shape[-2:]
        wide = self._widened(image)
        detector: Any = self.detector
        batch, _ = detector.transform([wide])
        features = detector.backbone(batch.tensors)
        proposals, _ = detector.rpn(batch, features)
        (found,), _ = detector.roi_heads(features, proposals, batch.image_sizes)
        boxes = resize_boxes(found["boxes"], batch.image_sizes[0], wide.shape[-2:])
        labels = torch.zeros(height, width, dtype=torch.int64, device=image.device)
        scores = torch.zeros(height, width, device=image.device)
        # Of equal scores the one that the detector names first is on top.
        order = found["scores"].argsort(descending=True, stable=True).flip(0)
        # One mask at a time: all of them at full size may not fit into memory.
        for index in order.tolist():
            one = slice(index, index + 1)
            mask = paste_masks_in_image(found["masks"][one], boxes[one], tuple(wide.shape[-2:]))
            inside = mask[0, 0, :height, :width] > _MASK_THRESHOLD
            labels[inside] = found["labels"][index]
            scores[inside] = found["scores"][index]
        return labels, scores

    def _widened(self, image: Tensor) -> Tensor:
        """Pad the shorter side of a very long image, which resizing would leave without a pixel."""
        height, width = image.shape[-2:]
        least = math.ceil(1.01 * max(height, width) / self.options.max_size)
        bottom, right = max(0, least - height), max(0, least - width)
        return F.pad(image, (0, right, 0, bottom)) if bottom or right else image

    @classmethod
    def rename_keys(cls, state_dict: StateDict) -> dict[str, Tensor]:
        """Understand torchvision's layout, and that of its versions before 0.13."""
        if _FIRST not in state_dict:
            return dict(state_dict)
        return {_OURS + _modern(key): value for key, value in state_dict.items()}

    @classmethod
    def recognise(cls, state_dict: StateDict) -> Recognition | None:
        foreign = _FIRST in state_dict
        ours = cls.rename_keys(state_dict)
        masks = ours.get(f"{_OURS}roi_heads.mask_predictor.mask_fcn_logits.weight")
        # Deeper encoders have the same names up to here.
        wide = ours.get(f"{_OURS}backbone.body.layer3.5.conv3.weight")
        deeper = f"{_OURS}backbone.body.layer3.6.conv3.weight" in ours
        if masks is None or wide is None or deeper or masks.ndim != 4:
            return None
        if f"{_OURS}rpn.head.conv.0.0.weight" not in ours:
            return None
        second = f"{_OURS}roi_heads.box_head.5.weight" in ours
        classes = int(masks.shape[0])
        named = foreign and classes == _COCO_OUTPUTS
        return Recognition(
            "torchvision" if foreign else "segstudio",
            MaskRCNNOptions("v2" if second else "v1"),
            classes,
            _BY_DETECTOR,
            "coco-instances" if named else None,
        )


_FIRST = "backbone.body.conv1.weight"
_OLD_NAMES = {
    "rpn.head.conv.": "rpn.head.conv.0.0.",
    **{f"roi_heads.mask_head.mask_fcn{n + 1}.": f"roi_heads.mask_head.{n}.0." for n in range(4)},
    **{
        f"backbone.fpn.{kind}_blocks.{level}.": f"backbone.fpn.{kind}_blocks.{level}.0."
        for kind in ("inner", "layer")
        for level in range(4)
    },
}


def _modern(key: str) -> str:
    """Translate a name of torchvision before 0.13, whose convolutions stood alone."""
    place, _, kind = key.rpartition(".")
    return _OLD_NAMES.get(f"{place}.", f"{place}.") + kind
