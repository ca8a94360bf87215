"""From images to scores: every view through the network, within memory, in rows from the top."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from segstudio.core.errors import SegStudioError
from segstudio.core.preprocessing import Preprocessing
from segstudio.core.types import Image
from segstudio.datasets.rows import ArrayRows, RowSource
from segstudio.inference.augmentation import View, average_views
from segstudio.inference.bands import Block, identity_blocks, rows_of_scores, upsampled
from segstudio.inference.memory import is_out_of_memory
from segstudio.inference.passes import NetworkInput, logits_blocks
from segstudio.inference.planning import Planner
from segstudio.inference.preprocess import target_size
from segstudio.inference.windows import Plan, Window, window_starts

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Engine", "Prepared"]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """An image on its way through the network in one piece.

    Attributes
    ----------
    image : ndarray of shape (H, W, 3), uint8
    given : NetworkInput
    batch : Tensor of shape (1, 3, h, w), float32
        Network input, on the CPU.
    """

    image: Image
    given: NetworkInput
    batch: Tensor

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the network's input; images of equal ones make a batch."""
        return self.given.padded


class Engine:
    """Applies a network to images of any size.

    Parameters
    ----------
    forward : callable
        From (N, 3, h, w) network input to (N, C, h', w') float32 logits at the head's resolution.
    preprocessing : Preprocessing
    views : sequence of View
        Several are averaged; see `segstudio.inference.augmentation`.
    device : torch.device
        Where ``forward`` wants its input.
    window : Window or None
        None for the whole image.
    tiles : bool
        Whether an image that does not fit into memory may be cut into tiles.
    classes : int
        C.
    say : callable
        Gets one sentence about an image that is done otherwise than asked.
    """

    def __init__(
        self,
        forward: Callable[[Tensor], Tensor],
        preprocessing: Preprocessing,
        *,
        views: Sequence[View],
        device: torch.device,
        window: Window | None,
        tiles: bool,
        classes: int,
        say: Callable[[str], None],
    ) -> None:
        self._forward = forward
        self._preprocessing = preprocessing
        self._views = views
        self._device = device
        self._window = window
        self._classes = classes
        self._say = say
        self._planner = Planner(forward, device, window, tiles=tiles)

    @torch.inference_mode()
    def blocks(self, source: RowSource) -> Iterator[Block]:
        """Yield blocks of logits, or log-probabilities of several views, from an image's top.

        When memory runs out on the way, what is left is done in tiles, then in smaller ones; every
        row is yielded once.

        Raises
        ------
        SegStudioError
            When memory does not suffice for the smallest tiles.
        """
        given = [NetworkInput.of(source, self._preprocessing, view) for view in self._views]
        sizes = [entry.padded for entry in given]
        done, largest = 0, None
        while True:
            plans = [self._planner.plan(size, largest) for size in sizes]
            self._tell(source, plans)
            try:
                for block in self._planned(source, given, plans):
                    if block.bottom > done:
                        rest = block.part(max(done, block.top), block.bottom)
                        done = block.bottom
                        yield rest
                return
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                failure = str(error)
            # Here the exception no longer holds the tensors of the pass that failed.
            self._release()
            largest = self._planner.smaller(plans, sizes)
            if largest is None:
                raise self._too_large(source) from MemoryError(failure)

    @torch.inference_mode()
    def scores(self, blocks: Iterable[Block], *, softmax: bool) -> Iterator[Tensor]:
        """Yield the (C, n, W) scores of blocks at the image's size, few rows at a time.

        Parameters
        ----------
        blocks : iterable of Block
        softmax : bool
            Whether probabilities are wanted.
        """
        for block in blocks:
            step = rows_of_scores(self._classes, len(block.columns))
            for top in range(block.top, block.bottom, step):
                part = block.part(top, min(top + step, block.bottom))
                rows = upsampled(part)
                yield rows.softmax(0) if softmax else rows

    def input_shapes(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        """Return what the network sees of an image of (H, W), as far as that is known before."""
        shapes = []
        for view in self._views:
            target = target_size(*size, self._preprocessing, view.scale)
            divisor = self._preprocessing.divisor
            height, width = (side + -side % divisor for side in target)
            if self._window is None:
                shapes.append((height, width))
                continue
            (tall, wide), (down, right) = self._window
            windows = len(window_starts(height, tall, down)) * len(
                window_starts(width, wide, right)
            )
            shapes += [(min(tall, height), min(wide, width))] * windows
        return shapes

    def prepare(self, image: Image) -> Prepared | None:
        """Return the network input of an image, None when it does not go through in one piece."""
        if self._window is not None or len(self._views) > 1:
            return None
        given = NetworkInput.of(ArrayRows(image), self._preprocessing, self._views[0])
        if self._planner.plan(given.padded) != Plan():
            return None
        return Prepared(image, given, given.read(0, given.padded[0], torch.device("cpu")))

    @torch.inference_mode()
    def run(self, prepared: Sequence[Prepared]) -> list[Tensor]:
        """Return the (C, h', w') logits of images of one input size, run together.

        Raises
        ------
        MemoryError
            When they do not fit; the network stays usable.
        """
        pixels = len(prepared) * prepared[0].batch[0, 0].numel()
        if not self._planner.fits(pixels):
            raise MemoryError("The batch is larger than the free memory.")
        try:
            return list(self._forward(torch.cat([one.batch for one in prepared]).to(self._device)))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            failure = str(error)
        self._release()
        raise MemoryError(failure)

    def _planned(
        self, source: RowSource, given: Sequence[NetworkInput], plans: Sequence[Plan]
    ) -> Iterator[Block]:
        if len(given) == 1:
            return logits_blocks(self._forward, given[0], plans[0], self._device)

        def scores(index: int) -> Iterator[Tensor]:
            blocks = logits_blocks(self._forward, given[index], plans[index], self._device)
            return self.scores(blocks, softmax=True)

        size = (source.height, source.width)
        means = average_views(scores, len(given), size, self._classes)
        return identity_blocks(mean.clamp_(min=torch.finfo().tiny).log_() for mean in means)

    def _release(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _tell(self, source: RowSource, plans: Sequence[Plan]) -> None:
        sides = [plan.tile for plan in plans if plan.tile is not None]
        if sides:
            self._say(
                f"An image of {source.height} x {source.width} pixels is predicted in tiles of "
                f"{min(sides)} x {min(sides)}: otherwise it does not fit into the memory of "
                f"{self._device}."
            )

    def _too_large(self, source: RowSource) -> SegStudioError:
        return SegStudioError(
            f"An image of {source.height} x {source.width} pixels does not fit into the "
            f"memory of {self._device}; choose another device, a window or a smaller model."
        )
