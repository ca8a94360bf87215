"""How far the heads of each layer look.

Reference: Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, arXiv:2010.11929,
figures 7 and 11: the distance between the patch that asks and all other patches, weighted by the
attention, averaged over the patches that ask.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segstudio.core.types import Image
from segstudio.inference.insight.attention import LayerInfo, require_attention
from segstudio.inference.insight.layers import AttentionLayer, watching
from segstudio.inference.insight.view import NetworkView
from segstudio.inference.insight.weights import LayerAttention
from segstudio.inference.model import Model

__all__ = ["AttentionDistances", "LayerDistance", "attention_distances"]


@dataclass(frozen=True, slots=True, eq=False)
class LayerDistance:
    """How far the heads of one layer look.

    Attributes
    ----------
    layer : LayerInfo
    heads : ndarray of shape (heads,), float64
        Mean attention distance of each head in pixels of the network's input.
    """

    layer: LayerInfo
    heads: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Mean over the heads."""
        return float(self.heads.mean())


@dataclass(frozen=True, slots=True, eq=False)
class AttentionDistances:
    """Mean attention distances of one image.

    Attributes
    ----------
    layers : tuple of LayerDistance
        In the order of the forward pass.
    input_size : (int, int)
        Height and width of the network's input, whose pixels the distances are in.
    piece_size : (int, int)
        Of the largest piece that goes through the network at once; its diagonal is the limit.
    pieces : int
        Passes; the means are over the patches of all of them.
    """

    layers: tuple[LayerDistance, ...]
    input_size: tuple[int, int]
    piece_size: tuple[int, int]
    pieces: int


def attention_distances(model: Model, image: Image) -> AttentionDistances:
    """Return how far each head of each layer looks in an image.

    Distances are between the centres of patches; tokens that are no patches (class tokens, class
    embeddings, padding) count neither as asking nor as looked at, and the weights of the others are
    normalised to 1.  The attention is gone through in blocks of rows.

    Parameters
    ----------
    model : Model
        Nothing else may run its network at the same time.
    image : ndarray of shape (H, W, 3), uint8
        RGB.

    Raises
    ------
    UsageError
        When the model has no attention layers.
    SegStudioError
        When a pass does not fit into memory.
    """
    layers = require_attention(model)
    view = NetworkView(model, image)
    sums = [np.zeros(layer.heads) for layer in layers]
    counts = [0] * len(layers)
    place = {layer.name: index for index, layer in enumerate(layers)}

    def add(layer: AttentionLayer, attention: LayerAttention) -> None:
        total, count = attention.distance_sums()
        sums[place[layer.name]] += total
        counts[place[layer.name]] += count

    sizes = []
    with watching(layers, add):
        for piece in view.pieces():
            sizes.append(piece.size)
            view.run(piece)
    found = tuple(
        LayerDistance(LayerInfo(index, layer.name, layer.heads), sums[index] / counts[index])
        for index, layer in enumerate(layers)
    )
    return AttentionDistances(found, view.input_size, max(sizes), len(sizes))
