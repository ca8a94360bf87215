"""Attention weights of one layer in one pass, recomputed for the queries asked for.

``softmax(Q K^T / sqrt(d) + bias)`` for some rows of Q: the whole matrix, which for N tokens has
N x N entries per head, exists at no time.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from segstudio.architectures import _swin
from segstudio.inference.insight.view import TokenGrid

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["GlobalAttention", "LayerAttention", "WindowedAttention"]

_BLOCK_VALUES = 4_000_000
"""Attention weights that exist at once when all queries are gone through."""

Row = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Weights on the grid of keys (heads, rows, columns), and on everything else (heads,)."""


class LayerAttention(abc.ABC):
    """The attention of one layer in one pass, computed when it is asked for.

    Attributes
    ----------
    queries, keys : TokenGrid
        Where the patches that ask, and those that are looked at, lie in the pass's input.
    """

    queries: TokenGrid
    keys: TokenGrid

    @abc.abstractmethod
    def row(self, row: int, column: int) -> Row:
        """Return what the patch in a row and column of `queries` looks at."""

    @abc.abstractmethod
    def distance_sums(self) -> tuple[NDArray[np.float64], int]:
        """Return per head the sum over all patches of their mean distance, and their number."""


class GlobalAttention(LayerAttention):
    """Attention of all patches to the same keys: those of a grid and some others.

    Parameters
    ----------
    queries, keys : TokenGrid
    key : Tensor of shape (heads, K, d)
    first : int
        Place among the K keys of the grid's first.
    query : callable
        Gives the (heads, n, d) queries of patches ``start..stop-1``.
    """

    def __init__(
        self,
        queries: TokenGrid,
        keys: TokenGrid,
        *,
        key: Tensor,
        first: int,
        query: Callable[[int, int], Tensor],
    ) -> None:
        self.queries = queries
        self.keys = keys
        self._key = key
        self._first = first
        self._query = query

    @torch.inference_mode()
    def row(self, row: int, column: int) -> Row:
        """See `LayerAttention`."""
        place = row * self.queries.columns + column
        weights = self._weights(place, place + 1)[:, 0]
        on_grid = self._on_grid(weights)
        elsewhere = weights[:, : self._first].sum(1) + weights[:, self._end :].sum(1)
        shape = (len(weights), self.keys.rows, self.keys.columns)
        return on_grid.reshape(shape).cpu().numpy(), elsewhere.cpu().numpy()

    @torch.inference_mode()
    def distance_sums(self) -> tuple[NDArray[np.float64], int]:
        """See `LayerAttention`."""
        count = self.queries.rows * self.queries.columns
        heads, keys, _ = self._key.shape
        from_y, from_x = _points(self.queries, self._key.device)
        to_y, to_x = _points(self.keys, self._key.device)
        total = torch.zeros(heads, dtype=torch.float64)
        step = max(1, _BLOCK_VALUES // (heads * keys))
        for start in range(0, count, step):
            stop = min(start + step, count)
            weights = self._on_grid(self._weights(start, stop))
            distances = torch.hypot(
                from_y[start:stop, None] - to_y, from_x[start:stop, None] - to_x
            )
            total += _mean_distances(weights, distances).double().sum(1).cpu()
        return total.numpy(), count

    @property
    def _end(self) -> int:
        return self._first + self.keys.rows * self.keys.columns

    def _on_grid(self, weights: Tensor) -> Tensor:
        return weights[..., self._first : self._end]

    def _weights(self, start: int, stop: int) -> Tensor:
        """Return the (heads, stop - start, K) softmax of some rows."""
        query = self._query(start, stop).float()
        return (query @ self._key.float().transpose(1, 2) * query.shape[2] ** -0.5).softmax(2)


class WindowedAttention(LayerAttention):
    """Attention within the windows of a Swin layer.

    Parameters
    ----------
    block : Block
        The layer.
    grid : TokenGrid
        Without the padding to whole windows.
    windows : Tensor of shape (windows, L, C)
        What went into the attention of one image.
    mask : Tensor of shape (windows, L, L) or None
    """

    def __init__(
        self, block: _swin.Block, grid: TokenGrid, windows: Tensor, mask: Tensor | None
    ) -> None:
        self.queries = self.keys = grid
        self._attention = block.attn
        self._side, self._shift = block.window, block.shift
        self._windows, self._mask = windows, mask
        self._across = -(-grid.columns // self._side)
        self._down = -(-grid.rows // self._side)

    @torch.inference_mode()
    def row(self, row: int, column: int) -> Row:
        """See `LayerAttention`."""
        side, grid = self._side, self.queries
        down = (row - self._shift) % (self._down * side)
        right = (column - self._shift) % (self._across * side)
        window = down // side * self._across + right // side
        place = down % side * side + right % side
        weights = self._weights(window, window + 1, place)[0, :, 0].cpu().numpy()
        rows, columns = (entry[0] for entry in self._positions(window, window + 1))
        inside = (rows < grid.rows) & (columns < grid.columns)
        on_grid = np.zeros((len(weights), grid.rows, grid.columns), np.float32)
        on_grid[:, rows[inside], columns[inside]] = weights[:, inside]
        return on_grid, weights[:, ~inside].sum(1)

    @torch.inference_mode()
    def distance_sums(self) -> tuple[NDArray[np.float64], int]:
        """See `LayerAttention`."""
        grid, heads = self.queries, self._attention.heads
        device = self._windows.device
        total = torch.zeros(heads, dtype=torch.float64)
        step = max(1, _BLOCK_VALUES // (heads * self._side**4))
        for start in range(0, len(self._windows), step):
            stop = min(start + step, len(self._windows))
            rows, columns = self._positions(start, stop)
            inside = torch.from_numpy((rows < grid.rows) & (columns < grid.columns)).to(device)
            y = torch.from_numpy(rows * (grid.height / grid.rows)).float().to(device)
            x = torch.from_numpy(columns * (grid.width / grid.columns)).float().to(device)
            distances = torch.hypot(y[:, :, None] - y[:, None, :], x[:, :, None] - x[:, None, :])
            weights = self._weights(start, stop) * inside[:, None, None]
            means = _mean_distances(weights, distances[:, None])
            total += (means * inside[:, None]).double().sum((0, 2)).cpu()
        return total.numpy(), grid.rows * grid.columns

    def _positions(self, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the (n, L) rows and columns in the padded grid of the tokens of some windows."""
        window, place = np.arange(start, stop)[:, None], np.arange(self._side**2)
        down = window // self._across * self._side + place // self._side
        right = window % self._across * self._side + place % self._side
        # The grid was rolled before it was cut into windows.
        return (
            (down + self._shift) % (self._down * self._side),
            (right + self._shift) % (self._across * self._side),
        )

    def _weights(self, start: int, stop: int, place: int | None = None) -> Tensor:
        """Return the (n, heads, L or 1, L) softmax of some windows, of one query or all."""
        attention, some = self._attention, self._windows[start:stop]
        asked = slice(None) if place is None else slice(place, place + 1)
        weight, bias = attention.qkv.weight.chunk(3), attention.qkv.bias.chunk(3)
        query, key = (
            F.linear(tokens, weight[part], bias[part])
            .unflatten(2, (attention.heads, -1))
            .transpose(1, 2)
            .float()
            for part, tokens in enumerate((some[:, asked], some))
        )
        added = attention.bias_table[attention.offset_index[asked]].permute(2, 0, 1)
        scores = query @ key.transpose(2, 3) * query.shape[3] ** -0.5 + added
        if self._mask is not None:
            scores = scores + self._mask[start:stop, None, asked]
        return scores.softmax(3)


def _points(grid: TokenGrid, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return y and x of all cells' centres in reading order, float32."""
    rows, columns = grid.centres()
    y, x = np.repeat(rows, grid.columns), np.tile(columns, grid.rows)
    return torch.from_numpy(y).float().to(device), torch.from_numpy(x).float().to(device)


def _mean_distances(weights: Tensor, distances: Tensor) -> Tensor:
    """Return the means of distances over the last axis; weights need not sum to 1."""
    shares = weights.sum(-1).clamp_min(torch.finfo(weights.dtype).tiny)
    return (weights * distances).sum(-1) / shares
