"""Hierarchical multi-scale attention.

A. Tao, K. Sapra, B. Catanzaro: "Hierarchical Multi-Scale Attention for Semantic Segmentation",
arXiv:2005.10821, 2020.

One network, with the same weights, sees the image at several scales.  An attention head learns,
from the features of a scale, how far this scale is to be trusted against the next larger one.  It
is trained with two adjacent scales only; at inference any number of them is chained.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from segstudio.architectures._base import ARCHITECTURES, Facts, Recognition, StateDict
from segstudio.architectures._scales import (
    MultiScaleNetwork,
    ScaleOptions,
    parse_scales,
    recognise_inner,
    scales_of,
    to_size,
)
from segstudio.core.errors import UsageError
from segstudio.core.options import option


@dataclass(frozen=True)
class HierarchicalAttentionOptions(ScaleOptions):
    """Which network, at which scales, and how wide the attention is."""

    scales: str = option(
        "0.5,1,2", "Sizes of the image that are chained at inference, as in 0.5,1 or 0.25,0.5,1,2."
    )
    train_scales: str = option("0.5,1", "Sizes of the image in training, two or more.")
    width: int = option(256, "Channels inside the attention head.", minimum=1, maximum=4096)


@ARCHITECTURES.register("hierarchical-attention")
class HierarchicalAttention(MultiScaleNetwork):
    """A network's logits at several scales, each against all larger ones by learned attention.

    With the attention a of a scale, its logits p and what the larger scales gave, q, the result
    is ``up(a p) + (1 - up(a)) q``, from the largest scale down to the smallest.  The attention
    head is two 3 x 3 convolutions with batch normalisation and ReLU, a 1 x 1 convolution and a
    sigmoid.
    """

    Options = HierarchicalAttentionOptions
    facts = Facts(
        title="Hierarchical multi-scale attention",
        paper="Tao, Sapra, Catanzaro: Hierarchical Multi-Scale Attention, arXiv:2005.10821",
        year=2020,
        output_stride=4,
        published="85.1 mIoU on Cityscapes test with HRNet-OCR inside (the paper)",
    )
    smallest = {"inner": "enet", "scales": "0.5,1", "width": 16}

    def __init__(self, classes: int, options: HierarchicalAttentionOptions | None = None) -> None:
        super().__init__(classes, options)
        self.train_scales = parse_scales(self.options.train_scales)
        if len(self.train_scales) < 2:
            raise UsageError(
                "Hierarchical attention is trained with two scales or more; write for example "
                "0.5,1 for train_scales."
            )
        channels, width = self.feature_channels, self.options.width
        self.gate = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, 1, 1, bias=False),
        )
        for module in self.gate:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        self.keep_scales("gate_scales", self.scales)
        self.keep_scales("gate_train_scales", self.train_scales)

    def used_scales(self) -> tuple[float, ...]:
        """Return the scales of training or of inference, smallest first."""
        return self.train_scales if self.training else self.scales

    def attention_maps(self, image: Tensor) -> list[Tensor]:
        """Return how far each scale but the largest is trusted, for looking at.

        Parameters
        ----------
        image : Tensor of shape (N, 3, H, W), floating

        Returns
        -------
        list of Tensor
            In the order of `used_scales`, each (N, 1, h, w) in 0..1 at the size of the logits of
            that scale.
        """
        seen = [self.features_and_logits(scaled) for scaled in self.scaled_images(image)]
        return [self._attention(*entry) for entry in seen[:-1]]

    def forward(self, image: Tensor) -> Tensor:
        seen = [self.features_and_logits(scaled) for scaled in self.scaled_images(image)]
        size = self.fused_size([logits for _, logits in seen], image)
        align = self.align_corners
        fused = to_size(seen[-1][1], size, align)
        for features, logits in reversed(seen[:-1]):
            attention = self._attention(features, logits)
            trusted = to_size(attention * logits, size, align)
            fused = trusted + (1 - to_size(attention, size, align)) * fused
        return fused

    def _attention(self, features: Tensor, logits: Tensor) -> Tensor:
        gate = self.gate(features).float().sigmoid()
        return to_size(gate, logits.shape[-2:], self.align_corners)

    @classmethod
    def recognise(cls, state_dict: StateDict) -> Recognition | None:
        first = state_dict.get("gate.0.weight")
        chain, trained = state_dict.get("gate_scales"), state_dict.get("gate_train_scales")
        if first is None or chain is None or trained is None or first.ndim != 4:
            return None
        if chain.ndim != 1 or trained.ndim != 1 or not len(chain) or len(trained) < 2:
            return None
        inner = recognise_inner(state_dict)
        if inner is None:
            return None
        recognition, chosen = inner
        options = HierarchicalAttentionOptions(
            **chosen,
            scales=scales_of(chain, HierarchicalAttentionOptions.scales),
            train_scales=scales_of(trained, HierarchicalAttentionOptions.train_scales),
            width=int(first.shape[0]),
        )
        return Recognition(
            "segstudio",
            options,
            recognition.classes,
            recognition.preprocessing,
            recognition.label_space,
        )
