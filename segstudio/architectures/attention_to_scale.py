"""Attention to scale.

L.-C. Chen, Y. Yang, J. Wang, W. Xu, A. L. Yuille: "Attention to Scale: Scale-aware Semantic Image
Segmentation", CVPR 2016, arXiv:1511.03339.

One network, with the same weights, sees the image at several scales.  A small attention head looks
at the features of all of them and gives every pixel a distribution over the scales; the logits are
averaged with it.  The paper also supervises the logits of each scale: see
`MultiScaleNetwork.scale_logits`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segstudio.architectures._base import ARCHITECTURES, Facts, Recognition, StateDict
from segstudio.architectures._scales import (
    MultiScaleNetwork,
    ScaleOptions,
    recognise_inner,
    scales_of,
    to_size,
)
from segstudio.core.errors import UsageError
from segstudio.core.options import option


@dataclass(frozen=True)
class AttentionToScaleOptions(ScaleOptions):
    """Which network, at which scales, and how wide the attention is."""

    width: int = option(
        512, "Channels between the two layers of the attention.", minimum=1, maximum=4096
    )


@ARCHITECTURES.register("attention-to-scale")
class AttentionToScale(MultiScaleNetwork):
    """A network's logits at several scales, averaged by learned weights per pixel.

    The attention has two layers, 3 x 3 and 1 x 1, with ReLU between them, as in the paper.
    """

    Options = AttentionToScaleOptions
    facts = Facts(
        title="Attention to scale",
        paper="Chen et al.: Attention to Scale, CVPR 2016, arXiv:1511.03339",
        year=2016,
        output_stride=4,
    )
    smallest = {"inner": "enet", "scales": "0.5,1", "width": 16}

    def __init__(self, classes: int, options: AttentionToScaleOptions | None = None) -> None:
        super().__init__(classes, options)
        count = len(self.scales)
        if count < 2:
            raise UsageError(
                "Attention to scale needs two scales or more; write for example 0.5,1."
            )
        width = self.options.width
        first = nn.Conv2d(count * self.feature_channels, width, 3, padding=1)
        last = nn.Conv2d(width, count, 1)
        nn.init.kaiming_normal_(first.weight, nonlinearity="relu")
        # Hardly any scale is preferred before anything is learned.
        nn.init.normal_(last.weight, std=0.01)
        for layer in (first, last):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        self.attention = nn.Sequential(first, nn.ReLU(inplace=True), last)
        self.keep_scales("attention_scales", self.scales)

    def scale_weights(self, image: Tensor) -> Tensor:
        """Return the weight of each scale at each pixel, for looking at.

        Parameters
        ----------
        image : Tensor of shape (N, 3, H, W), floating

        Returns
        -------
        Tensor of shape (N, S, h, w)
            In the order of `scales`; their sum is 1.
        """
        return self._weights_and_logits(image)[0]

    def forward(self, image: Tensor) -> Tensor:
        weights, logits = self._weights_and_logits(image)
        fused = weights[:, :1] * logits[0]
        for index, entry in enumerate(logits[1:], 1):
            fused = fused + weights[:, index : index + 1] * entry
        return fused

    def _weights_and_logits(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return (N, S, h, w) weights, and the (N, C, h, w) logits of each scale."""
        seen = [self.features_and_logits(scaled) for scaled in self.scaled_images(image)]
        size = self.fused_size([logits for _, logits in seen], image)
        # The attention works where the features are: the logits may be much larger.
        grid = seen[self.target][0].shape[-2:]
        features = torch.cat([to_size(entry, grid) for entry, _ in seen], 1)
        weights = to_size(self.attention(features).float().softmax(1), size)
        return weights, [to_size(logits, size, self.align_corners) for _, logits in seen]

    @classmethod
    def recognise(cls, state_dict: StateDict) -> Recognition | None:
        kept, first = (state_dict.get(name) for name in ("attention_scales", "attention.0.weight"))
        if kept is None or first is None or kept.ndim != 1 or first.ndim != 4:
            return None
        inner = recognise_inner(state_dict)
        if inner is None or len(kept) < 2:
            return None
        recognition, chosen = inner
        scales = scales_of(kept, AttentionToScaleOptions.scales)
        return Recognition(
            "segstudio",
            AttentionToScaleOptions(**chosen, scales=scales, width=int(first.shape[0])),
            recognition.classes,
            recognition.preprocessing,
            recognition.label_space,
        )
