"""Image pyramid.

One network, with the same weights, sees the image at several scales, and the logits are fused by
their maximum or their mean.  The scheme is older than any one paper of it:

C. Farabet, C. Couprie, L. Najman, Y. LeCun: "Learning Hierarchical Features for Scene Labeling",
TPAMI 35(8), 2013; G. Lin, C. Shen, A. van den Hengel, I. Reid: "Efficient Piecewise Training of
Deep Structured Models for Semantic Segmentation", CVPR 2016, arXiv:1504.01013.  The maximum over
scales 0.5, 0.75 and 1 is that of DeepLab v2 (L.-C. Chen et al., TPAMI 2017, arXiv:1606.00915).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segstudio.architectures._base import ARCHITECTURES, Facts, Recognition, StateDict
from segstudio.architectures._scales import (
    MultiScaleNetwork,
    ScaleOptions,
    recognise_inner,
    scales_of,
    to_size,
)
from segstudio.core.options import option

_BUFFERS = {"max": "pyramid_max", "mean": "pyramid_mean"}


@dataclass(frozen=True)
class ImagePyramidOptions(ScaleOptions):
    """Which network, at which scales, fused how."""

    fuse: str = option("max", "How the logits of the scales become one.", choices=tuple(_BUFFERS))


@ARCHITECTURES.register("image-pyramid")
class ImagePyramid(MultiScaleNetwork):
    """The maximum or the mean of a network's logits over several scales of the image.

    It has no weights but the inner network's.  Its one buffer, named by the way of fusing, keeps
    the scales.
    """

    Options = ImagePyramidOptions
    facts = Facts(
        title="Image pyramid",
        paper="Farabet et al.: Hierarchical Features for Scene Labeling, TPAMI 2013",
        year=2013,
        output_stride=4,
    )
    variants = {"max": {}, "mean": {"fuse": "mean"}}
    smallest = {"inner": "enet", "scales": "0.5,1"}

    def __init__(self, classes: int, options: ImagePyramidOptions | None = None) -> None:
        super().__init__(classes, options)
        self.keep_scales(_BUFFERS[self.options.fuse], self.scales)

    def forward(self, image: Tensor) -> Tensor:
        logits = self.scale_logits(image)
        size = self.fused_size(logits, image)
        # One after the other: a stack of all scales would need their memory twice.
        fused = to_size(logits[0], size, self.align_corners)
        for entry in logits[1:]:
            other = to_size(entry, size, self.align_corners)
            fused = torch.maximum(fused, other) if self.options.fuse == "max" else fused + other
        return fused if self.options.fuse == "max" else fused / len(logits)

    @classmethod
    def recognise(cls, state_dict: StateDict) -> Recognition | None:
        found = [(fuse, name) for fuse, name in _BUFFERS.items() if name in state_dict]
        if len(found) != 1:
            return None
        fuse, buffer = found[0]
        inner = recognise_inner(state_dict)
        if inner is None or state_dict[buffer].ndim != 1 or not state_dict[buffer].numel():
            return None
        recognition, chosen = inner
        scales = scales_of(state_dict[buffer], ImagePyramidOptions.scales)
        return Recognition(
            "segstudio",
            ImagePyramidOptions(**chosen, scales=scales, fuse=fuse),
            recognition.classes,
            recognition.preprocessing,
            recognition.label_space,
        )
