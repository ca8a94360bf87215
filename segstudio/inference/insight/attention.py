"""What a patch looks at: one row of a layer's attention, seen as a map of the image.

Reference: Vaswani et al., "Attention Is All You Need", NeurIPS 2017, arXiv:1706.03762, equation 1.
Weights are exact for float32: those of the very pass that predicts the pixel.  For a model with
sliding windows this is the pass over the window that sees most around the pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import UsageError
from segstudio.core.types import BBox, Image
from segstudio.inference.insight.embeddings import find_class_vectors
from segstudio.inference.insight.features import find_stages
from segstudio.inference.insight.layers import AttentionLayer, find_layers, watching
from segstudio.inference.insight.view import NetworkView, Piece, inner_network
from segstudio.inference.insight.weights import LayerAttention
from segstudio.inference.model import Model

__all__ = [
    "AttentionMap",
    "AttentionReader",
    "LayerInfo",
    "attention_layers",
    "attention_map",
    "require_attention",
]


@dataclass(frozen=True, slots=True)
class LayerInfo:
    """An attention layer.

    Attributes
    ----------
    index : int
        Place among the model's attention layers, from 0, in the order of the forward pass.
    name : str
        Dotted name of the transformer layer.
    heads : int
    """

    index: int
    name: str
    heads: int


@dataclass(frozen=True, slots=True, eq=False)
class AttentionMap:
    """What a patch looks at in one layer.

    Attributes
    ----------
    layer : LayerInfo
    head : int or None
        None for the mean of all heads.
    pixel : (int, int)
        Row and column of the image that were asked for.
    patch : BBox
        Pixels of the image whose centres lie in the patch that asks.
    grid : (int, int)
        Rows and columns of the grid of patches that ask.
    cell : (int, int)
        Row and column of the asking patch there.
    weights : ndarray of shape (h, w), float32
        Weight of each patch that is looked at, 0..1; SegFormer's lie on a coarser grid, Swin's are
        0 outside the window.
    elsewhere : float
        Weight of what is no patch: class tokens, class embeddings, padding.  With the sum of
        ``weights`` it makes 1.
    seen : BBox
        Pixels of the image that the pass saw.
    picture : ndarray of shape (H, W), float32
        ``weights`` interpolated bilinearly to the image's pixels, 0 outside ``seen``.
    """

    layer: LayerInfo
    head: int | None
    pixel: tuple[int, int]
    patch: BBox
    grid: tuple[int, int]
    cell: tuple[int, int]
    weights: NDArray[np.float32]
    elsewhere: float
    seen: BBox
    picture: NDArray[np.float32]


def attention_layers(model: Model) -> tuple[LayerInfo, ...]:
    """Return the attention layers of a model, none for a convolutional network."""
    return tuple(
        LayerInfo(index, layer.name, layer.heads)
        for index, layer in enumerate(find_layers(inner_network(model)))
    )


def require_attention(model: Model) -> list[AttentionLayer]:
    """Return the attention layers of a model.

    Raises
    ------
    UsageError
        When there are none; it says what is possible instead.
    """
    layers = find_layers(inner_network(model))
    if layers:
        return layers
    possible = ["class probabilities"]
    if find_stages(inner_network(model)):
        possible.append("feature norms")
    if find_class_vectors(model) is not None:
        possible.append("class embeddings")
    last = possible.pop()
    raise UsageError(
        f"{model.checkpoint.path.name} ({model.checkpoint.architecture}) has no attention layers "
        f"that can be read; look at its {', '.join(possible)}{' and ' if possible else ''}{last}."
    )


class AttentionReader:
    """Reads attention maps of one image, and keeps the last pass: a click costs one row of it.

    Parameters
    ----------
    model : Model
        Nothing else may run its network at the same time.
    image : ndarray of shape (H, W, 3), uint8
        RGB.

    Raises
    ------
    UsageError
        When the model has no attention layers; see `require_attention`.
    """

    def __init__(self, model: Model, image: Image) -> None:
        self._layers = require_attention(model)
        self._view = NetworkView(model, image)
        self._held: tuple[tuple[int, int, int], LayerAttention] | None = None

    def read(
        self, row: int, column: int, *, layer: int = -1, head: int | None = None
    ) -> AttentionMap:
        """Return what the patch around a pixel looks at.

        Parameters
        ----------
        row, column : int
            Pixel of the image.
        layer : int
            See `LayerInfo`; negative ones count from the last.
        head : int, optional
            From 0; None for the mean of all heads.

        Raises
        ------
        UsageError
            When there is no such pixel, layer or head.
        SegStudioError
            When the pass does not fit into memory.
        """
        chosen, index = self._layer(layer, head)
        piece = self._view.piece_at(row, column)
        attention = self._pass(chosen, index, piece)
        y, x = self._view.input_point(row, column)
        cell = attention.queries.cell_at(y - piece.top, x - piece.left)
        weights, elsewhere = attention.row(*cell)
        one = weights.mean(0) if head is None else weights[head]
        area = piece.area
        picture = np.zeros(self._view.image_size, np.float32)
        picture[area.slices] = self._view.spread(one, attention.keys, piece)
        return AttentionMap(
            layer=LayerInfo(index, chosen.name, chosen.heads),
            head=head,
            pixel=(row, column),
            patch=self._view.cell_box(attention.queries, cell, piece),
            grid=(attention.queries.rows, attention.queries.columns),
            cell=cell,
            weights=one,
            elsewhere=float(elsewhere.mean() if head is None else elsewhere[head]),
            seen=area,
            picture=picture,
        )

    def _layer(self, layer: int, head: int | None) -> tuple[AttentionLayer, int]:
        count = len(self._layers)
        if not -count <= layer < count:
            raise UsageError(
                f"There is no attention layer {layer}; the model has {count}, 0 to {count - 1}."
            )
        chosen = self._layers[layer]
        if head is not None and not 0 <= head < chosen.heads:
            raise UsageError(
                f"There is no head {head} in layer {layer % count} ({chosen.name}); it has "
                f"{chosen.heads}, 0 to {chosen.heads - 1}."
            )
        return chosen, layer % count

    def _pass(self, layer: AttentionLayer, index: int, piece: Piece) -> LayerAttention:
        key = (index, piece.top, piece.left)
        if self._held is None or self._held[0] != key:
            self._held = None  # its memory is free before the next pass needs some
            seen: list[LayerAttention] = []
            with watching([layer], lambda _, attention: seen.append(attention)):
                self._view.run(piece)
            self._held = key, seen[0]
        return self._held[1]


def attention_map(
    model: Model,
    image: Image,
    *,
    row: int,
    column: int,
    layer: int = -1,
    head: int | None = None,
) -> AttentionMap:
    """Return what the patch around a pixel looks at; see `AttentionReader`."""
    return AttentionReader(model, image).read(row, column, layer=layer, head=head)
