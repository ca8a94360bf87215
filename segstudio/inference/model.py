"""A model: architecture, weights, label space and preprocessing, ready to predict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from segstudio.checkpoints.opening import Checkpoint, build_network, open_checkpoint
from segstudio.core.errors import NotACheckpointError, SegStudioError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import Image, Prediction
from segstudio.datasets.rows import ArrayRows, RowSource
from segstudio.inference.augmentation import parse_tta
from segstudio.inference.backends.choosing import build_backend
from segstudio.inference.bands import Block, RowBand, identity_blocks, in_bands, join_bands
from segstudio.inference.catalogue import find_model
from segstudio.inference.devices import choose_device
from segstudio.inference.engine import Engine, Prepared
from segstudio.inference.fused import fuse_block
from segstudio.inference.memory import free_memory
from segstudio.inference.passes import whole_blocks
from segstudio.inference.refiners.base import build_refiner
from segstudio.inference.windows import parse_window

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Model", "Prepared", "load_model"]

_TINY = 1e-30
"""Least probability whose logarithm is taken."""
_REFINER_VOLUMES = 4
"""How many times the probabilities of an image a refiner holds at once."""


class Model:
    """A network with everything needed to apply it to images.

    Parameters
    ----------
    checkpoint : Checkpoint
        As `segstudio.checkpoints.opening.open_checkpoint` returns.
    device, precision : str
        See `segstudio.inference.devices`.
    window : str
        See `segstudio.inference.windows.parse_window`.  With "none" an image that does not fit
        into memory is an error; otherwise it is predicted in tiles.
    refine : str
        A refiner that looks at the image again after the network, with its options: "dense-crf",
        "dense-crf:iterations=5,colour_std=3"; "none" for none.
    tta : str
        See `segstudio.inference.augmentation.parse_tta`.

    Attributes
    ----------
    report : callable or None
        Called with one sentence about an image that is done otherwise than asked: in tiles.

    Raises
    ------
    NotACheckpointError
        When the weights do not fit, or nothing says what the outputs mean.
    UsageError
        When the device, the precision, the window, the augmentation or the refiner cannot be used.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: str = "auto",
        precision: str = "auto",
        window: str = "auto",
        refine: str = "none",
        tta: str = "none",
    ) -> None:
        if checkpoint.label_space is None:
            raise NotACheckpointError(
                f"{checkpoint.path} has {checkpoint.classes} outputs, but nothing says what they "
                "are; put a label_space.json beside it."
            )
        # The network holds the weights from here on.
        self.checkpoint = replace(checkpoint, state_dict={}, network=None)
        self.label_space: LabelSpace = checkpoint.label_space
        self.preprocessing = checkpoint.preprocessing
        self.window = parse_window(window, checkpoint.preprocessing)
        self.views = parse_tta(tta)
        self.refiner = build_refiner(refine)
        self.device = choose_device(device)
        self.report: Callable[[str], None] | None = None
        self.network = build_network(checkpoint)
        self.backend = build_backend(
            self.network, checkpoint.path, device=self.device, precision=precision
        )
        self.precision = self.backend.precision
        self._engine = Engine(
            self._checked,
            self.preprocessing,
            views=self.views,
            device=self.device,
            window=self.window,
            tiles=window != "none",
            classes=checkpoint.classes,
            say=self._say,
        )
        plain = tuple(range(checkpoint.classes))
        self._table: NDArray[np.generic] | None = None
        if checkpoint.output_classes != plain:
            self._table = np.asarray(checkpoint.output_classes, self.label_space.dtype)

    # -- one image ---------------------------------------------------------------------------------

    def predict(self, image: Image) -> Prediction:
        """Predict one image.

        Parameters
        ----------
        image : ndarray of shape (H, W, 3), uint8
            RGB.

        Returns
        -------
        Prediction
            Of shape (H, W); an output that stands for void gives the ignore index.

        Raises
        ------
        SegStudioError
            When the device runs out of memory, or the network's outputs are not finite.
        """
        return join_bands(self.predict_rows(image), image.shape[0])

    def predict_rows(self, source: Image | RowSource) -> Iterator[RowBand]:
        """Predict one image by bands of rows, so that neither it nor its prediction is whole.

        Parameters
        ----------
        source : ndarray of shape (H, W, 3), uint8, or RowSource
            See `segstudio.datasets.rows.open_rows`.  A refiner needs all of it at once.

        Yields
        ------
        RowBand
            Without gaps, from the top.

        Raises
        ------
        SegStudioError
            See `predict`.
        """
        source = _as_rows(source)
        blocks = self._engine.blocks(source)
        if self.refiner is not None:
            yield RowBand(0, self._refined(source, blocks)[0])
            return
        for block in blocks:
            yield self._fused(block)

    def predict_with_scores(self, image: Image) -> tuple[Prediction, NDArray[np.float32]]:
        """Predict one image and return also what the argmax was taken of.

        Returns
        -------
        Prediction
            As `predict` gives it.
        ndarray of shape (C, H, W), float32
            Logits at the image's own size; probabilities for models that average those, with
            test-time augmentation, and behind a refiner.
        """
        source = _as_rows(image)
        if self.refiner is not None:
            return self._refined(source, self._engine.blocks(source))
        self._check_room(source, 1)
        softmax = len(self.views) > 1 or self.preprocessing.average == "probabilities"
        scores = np.empty((self.checkpoint.classes, source.height, source.width), np.float32)
        bands = []
        for block in self._engine.blocks(source):
            bands.append(self._fused(block))
            self._fill(scores, [block], softmax=softmax)
        return join_bands(bands, source.height), scores

    def probability_rows(self, source: Image | RowSource, rows: int) -> Iterator[Tensor]:
        """Yield the (C, n, W) probabilities of an image, ``rows`` rows at a time.

        Refined where the model has a refiner.  C are the outputs of the network.

        Raises
        ------
        SegStudioError
            See `predict`.
        """
        source = _as_rows(source)
        blocks = self._engine.blocks(source)
        if self.refiner is not None:
            parts = iter([torch.from_numpy(self._refined(source, blocks)[1])])
        else:
            parts = self._engine.scores(blocks, softmax=True)
        yield from in_bands(parts, rows)

    # -- several images ----------------------------------------------------------------------------

    def predict_batch(self, images: Sequence[Image]) -> list[Prediction]:
        """Predict several images; those of equal network input size go together.

        When memory does not suffice a batch is halved until its images go one by one, and then in
        tiles.  The predictions are those of `predict`, up to rounding.

        Parameters
        ----------
        images : sequence of ndarray of shape (H, W, 3), uint8

        Raises
        ------
        SegStudioError
            See `predict`; one image fails the call.
        """
        groups: dict[tuple[int, int] | int, list[int]] = {}
        waiting: dict[int, Prepared] = {}
        for index, image in enumerate(images):
            prepared = self.prepare(image)
            if prepared is not None:
                waiting[index] = prepared
            groups.setdefault(index if prepared is None else prepared.input_size, []).append(index)
        found: dict[int, Prediction] = {}
        for indices in groups.values():
            if indices[0] not in waiting:
                found[indices[0]] = self.predict(images[indices[0]])
                continue
            group = [waiting.pop(index) for index in indices]
            found.update(zip(indices, self._predict_group(group), strict=True))
        return [found[index] for index in range(len(images))]

    def prepare(self, image: Image) -> Prepared | None:
        """Return the network input of an image, None when it does not go through in one piece.

        The first of three stages for pipelines, each of which may run in a thread of its own:
        `prepare`, `run`, `finish`.  What has no first stage (windows, tiles, augmentation) goes to
        `predict`.
        """
        return self._engine.prepare(image)

    def run(self, prepared: Sequence[Prepared]) -> list[Tensor]:
        """Run the network on images of one input size: (C, h', w') float32 logits for each.

        Raises
        ------
        MemoryError
            When they do not fit together; half of them may, and `predict` has further means.
        SegStudioError
            When the outputs are not finite.
        """
        return self._engine.run(prepared)

    @torch.inference_mode()
    def finish(self, prepared: Prepared, logits: Tensor) -> Prediction:
        """Turn what `run` gave for an image into its prediction; see `predict`."""
        source = ArrayRows(prepared.image)
        blocks = whole_blocks(logits, prepared.given)
        if self.refiner is not None:
            return self._refined(source, blocks)[0]
        return join_bands((self._fused(block) for block in blocks), source.height)

    def _predict_group(self, group: Sequence[Prepared]) -> list[Prediction]:
        if len(group) == 1:
            return [self.predict(group[0].image)]
        try:
            logits = self.run(group)
        except MemoryError:
            logits = []
        if logits:
            return [self.finish(*pair) for pair in zip(group, logits, strict=True)]
        half = len(group) // 2
        return self._predict_group(group[:half]) + self._predict_group(group[half:])

    def input_counts(self, sizes: Iterable[tuple[int, int]]) -> Counter[tuple[int, int]]:
        """Return how many inputs of which shape images of these (H, W) make.

        For `Backend.start` and `Backend.wait_ready`, as far as it is known before.
        """
        counts: Counter[tuple[int, int]] = Counter()
        for size in sizes:
            counts.update(self._engine.input_shapes(size))
        return counts

    # -- the network and what comes after it -------------------------------------------------------

    def _forward(self, batch: Tensor) -> Tensor:
        return self.backend(batch)

    def _checked(self, batch: Tensor) -> Tensor:
        """Run the network and make sure that it gave numbers."""
        logits = self._forward(batch)
        if not bool(torch.isfinite(logits).all()):
            raise SegStudioError(
                f"{self.checkpoint.path} gave values that are no numbers at {self.precision}; "
                "try the precision fp32, or the file is damaged."
            )
        return logits

    def _fused(self, block: Block) -> RowBand:
        """Turn a block of logits into a prediction in the label space."""
        prediction = fuse_block(block)
        if self._table is not None:
            prediction = replace(
                prediction,
                label_map=self._table[prediction.label_map],
                runner_up=self._table[prediction.runner_up],
            )
        return RowBand(block.top, prediction)

    def _refined(
        self, source: RowSource, blocks: Iterator[Block]
    ) -> tuple[Prediction, NDArray[np.float32]]:
        """Return the prediction and the probabilities behind the refiner."""
        assert self.refiner is not None
        self._check_room(source, _REFINER_VOLUMES)
        scores = np.empty((self.checkpoint.classes, source.height, source.width), np.float32)
        self._fill(scores, blocks, softmax=True)
        scores = self.refiner.refine(source.read_rows(0, source.height), scores)
        logits = torch.from_numpy(np.log(np.maximum(scores, _TINY)))
        bands = (self._fused(block) for block in identity_blocks([logits]))
        return join_bands(bands, source.height), scores

    def _fill(self, scores: NDArray[np.float32], blocks: Iterable[Block], *, softmax: bool) -> None:
        """Write the scores of blocks to their rows."""
        for block in blocks:
            top = block.top
            for rows in self._engine.scores([block], softmax=softmax):
                scores[:, top : top + rows.shape[1]] = rows.cpu().numpy()
                top += rows.shape[1]

    def _check_room(self, source: RowSource, volumes: int) -> None:
        """Refuse what would hold the scores of a huge image; the system might kill us instead."""
        free = free_memory(torch.device("cpu"))
        needed = 4 * self.checkpoint.classes * source.height * source.width * volumes
        if free is not None and needed > free:
            raise SegStudioError(
                f"The scores of an image of {source.height} x {source.width} pixels take "
                f"{needed / 1e9:.1f} GB, but {free / 1e9:.1f} GB are free; predict it without "
                "refiner and without saving scores."
            )

    def _say(self, sentence: str) -> None:
        if self.report is not None:
            self.report(sentence)


def _as_rows(source: Image | RowSource) -> RowSource:
    return ArrayRows(source) if isinstance(source, np.ndarray) else source


def load_model(
    name_or_path: str | Path,
    *,
    device: str = "auto",
    precision: str = "auto",
    window: str = "auto",
    refine: str = "none",
    tta: str = "none",
    label_space: LabelSpace | None = None,
) -> Model:
    """Load an embedded model by name, or any recognised checkpoint by path.

    Raises
    ------
    UnknownNameError
        When it is neither a name nor an existing path.
    NotACheckpointError
        When the file is no checkpoint that a registered architecture explains.
    """
    path = find_model(name_or_path)
    checkpoint = open_checkpoint(path, label_space=label_space)
    return Model(
        checkpoint, device=device, precision=precision, window=window, refine=refine, tta=tta
    )
