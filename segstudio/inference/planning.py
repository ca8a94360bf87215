"""How each view of an image goes through a network, so that it fits into memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from segstudio.inference.memory import PassMemory, free_memory, measure_pass
from segstudio.inference.windows import TILE_SIDES, Plan, Window

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Planner"]

_SMALL_PIXELS = 2_000_000
"""Inputs up to this size are tried as they are: most memories hold them, and errors are caught."""
_SHARE = 0.8
"""Of the free memory, what a pass may take: other programs live, too."""


class Planner:
    """Chooses between the whole input, the model's window, and tiles.

    Parameters
    ----------
    forward : callable
        The network, of which a pass is measured when the question first comes up.
    device : torch.device
    window : Window or None
        What the model or its user wants; tiles take its place only after it did not fit.
    tiles : bool
        Whether tiles may be used at all.
    """

    def __init__(
        self,
        forward: Callable[[Tensor], Tensor],
        device: torch.device,
        window: Window | None,
        *,
        tiles: bool,
    ) -> None:
        self._forward = forward
        self._device = device
        self._window = window
        self._tiles = tiles
        self._pass: PassMemory | None = None

    def plan(self, size: tuple[int, int], largest: int | None = None) -> Plan:
        """Return how an input of (H, W) goes through the network.

        Parameters
        ----------
        size : (int, int)
            Of the network's input.
        largest : int, optional
            Pixels a side of the tiles that are left to try; None before anything has failed.
        """
        if largest is not None:
            return Plan(tile=largest) if max(size) > largest else Plan()
        if self._window is not None:
            return Plan(window=self._window)
        pixels = size[0] * size[1]
        if not self._tiles or self.fits(pixels):
            return Plan()
        sides = [side for side in TILE_SIDES if side < max(size)]
        for side in sides:
            if self._measured().of_tiles(side, size[1]) <= self._allowed():
                return Plan(tile=side)
        return Plan(tile=sides[-1]) if sides else Plan()

    def smaller(self, plans: Sequence[Plan], sizes: Sequence[tuple[int, int]]) -> int | None:
        """Return the side of the next smaller tile after a failure, None when none is left."""
        if not self._tiles:
            return None
        used = max(_side(plan, size) for plan, size in zip(plans, sizes, strict=True))
        return next((side for side in TILE_SIDES if side < used), None)

    def fits(self, pixels: int) -> bool:
        """Return whether a pass over so many input pixels fits into the free memory."""
        return pixels <= _SMALL_PIXELS or self._measured().of(pixels) <= self._allowed()

    def _allowed(self) -> float:
        free = free_memory(self._device)
        return float("inf") if free is None else _SHARE * free

    @torch.inference_mode()
    def _measured(self) -> PassMemory:
        if self._pass is None:
            self._pass = measure_pass(self._forward, self._device)
        return self._pass


def _side(plan: Plan, size: tuple[int, int]) -> int:
    """Return the longest side that the network saw of an input."""
    if plan.tile is not None:
        return plan.tile
    longest = max(size)
    return longest if plan.window is None else min(longest, max(plan.window[0]))
