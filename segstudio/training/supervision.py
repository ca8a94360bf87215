"""Losses on logits that a network makes on its way: auxiliary heads, deep supervision, scales.

- PSPNet, DeepLabV3, FCN: a small head on the encoder's second-to-last features, weight 0.4 (H. Zhao
  et al.: "Pyramid Scene Parsing Network", CVPR 2017, section 3.4, and MMSegmentation's
  configurations).  The head is thrown away after the training.
- G-FRNet: the logits of every stage (`side_logits`), weight 1 each.
- Networks over several scales (`scale_logits`): the logits of every scale, weight 1 each (L.-C.
  Chen et al.: "Attention to Scale", CVPR 2016, section 3.3); hierarchical attention 0.05 (A. Tao et
  al., 2020); an image pyramid has no such loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch.nn.functional as F
from torch import Tensor, nn

from segstudio.architectures._base import SegmentationNetwork
from segstudio.architectures._encoders import feature_channels
from segstudio.architectures._scales import MultiScaleNetwork

__all__ = ["Supervision"]

_HEADS = {"pspnet": 0.4, "deeplabv3": 0.4, "fcn": 0.4}
"""Published weight of an auxiliary head, by architecture."""
_SCALES = {"hierarchical-attention": 0.05, "image-pyramid": 0.0}
"""Published weight of the losses on each scale where it is not 1."""


class Supervision(nn.Module):
    """Collects the logits on which a network is supervised; its own weights are auxiliary heads.

    Parameters
    ----------
    network : SegmentationNetwork
        Is watched, and not a part of this module.
    weight : float or None
        Of each further loss; None takes the published one, 0 has none.
    """

    def __init__(self, network: SegmentationNetwork, weight: float | None = None) -> None:
        super().__init__()
        self._network = [network]  # in a list, so that its weights are not this module's
        self.head: nn.Module | None = None
        self._seen: list[Any] = []
        self._kind, published = _kind_of(network)
        self.weight = published if weight is None else weight
        if not self.weight:
            self._kind = ""
        if self._kind == "head":
            encoder = cast(nn.Module, network.encoder)
            channels = feature_channels(encoder)[-2]
            self.head = _auxiliary_head(channels, network.classes)
            encoder.register_forward_hook(lambda *call: self._see(call[2][-2]))
        elif self._kind == "inner":
            inner = cast(MultiScaleNetwork, network).inner
            inner.register_forward_hook(lambda *call: self._see(call[2]))
        elif self._kind == "scales":
            self._watch_scales(network)

    def _see(self, value: Any) -> None:
        if self._network[0].training:
            self._seen.append(value)

    def _watch_scales(self, network: SegmentationNetwork) -> None:
        """Keep what the page's own `scale_logits` returns while `forward` fuses it."""
        original: Callable[[Tensor], list[Tensor]] = network.scale_logits  # type: ignore[assignment]

        def watched(image: Tensor) -> list[Tensor]:
            found = original(image)
            for entry in found:
                self._see(entry)
            return found

        network.scale_logits = watched  # type: ignore[assignment]

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the network's logits and the further ones, all at the image's size.

        Parameters
        ----------
        image : Tensor of shape (N, 3, H, W)

        Returns
        -------
        Tensor of shape (N, C, H, W)
        list of Tensor of shape (N, C, H, W)
        """
        network = self._network[0]
        self._seen.clear()
        if self._kind == "sides":
            *sides, last = cast(Any, network).side_logits(image)
            return self._full(last, image), [self._full(entry, image) for entry in sides]
        logits = network.logits(image)
        seen, self._seen = self._seen, []
        if self.head is not None:
            seen = [self.head(features) for features in seen]
        return logits, [self._full(entry, image) for entry in seen]

    def _full(self, logits: Tensor, image: Tensor) -> Tensor:
        if logits.shape[-2:] == image.shape[-2:]:
            return logits
        align = self._network[0].align_corners
        return F.interpolate(logits, size=image.shape[-2:], mode="bilinear", align_corners=align)


def _kind_of(network: SegmentationNetwork) -> tuple[str, float]:
    """Return how a network can be supervised further, and the published weight."""
    name = getattr(type(network), "name", "")
    if isinstance(network, MultiScaleNetwork):
        return "inner", _SCALES.get(name, 1.0)
    if hasattr(network, "side_logits"):
        return "sides", 1.0
    if hasattr(network, "scale_logits"):
        return "scales", 1.0
    if name in _HEADS:
        return "head", _HEADS[name]
    return "", 0.0


def _auxiliary_head(channels: int, classes: int) -> nn.Module:
    """Return a 3 x 3 convolution to a quarter of the channels, and a classifier."""
    width = max(1, channels // 4)
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.Dropout2d(0.1),
        nn.Conv2d(width, classes, 1),
    )
