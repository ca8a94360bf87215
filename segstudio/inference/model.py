"""A model: architecture, weights, label space and preprocessing, ready to predict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from segstudio.checkpoints.opening import Checkpoint, build_network, open_checkpoint
from segstudio.core.errors import NotACheckpointError, SegStudioError
from segstudio.core.label_space import LabelSpace
from segstudio.core.options import options_from_text
from segstudio.core.types import Image, Prediction
from segstudio.inference.catalogue import find_model
from segstudio.inference.devices import choose_device, choose_precision
from segstudio.inference.fused import fuse_logits, fuse_logits_torch
from segstudio.inference.preprocess import resize_image, to_input
from segstudio.inference.refiners.base import REFINERS, Refiner
from segstudio.inference.windows import fill_window, parse_window, slide

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Model", "build_refiner", "load_model"]

_TINY = 1e-30
"""Least probability whose logarithm is taken."""
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Model:
    """A network with everything needed to apply it to images.

    Parameters
    ----------
    checkpoint : Checkpoint
        As `segstudio.checkpoints.opening.open_checkpoint` returns.
    device, precision : str
        See `segstudio.inference.devices`.
    window : str
        See `segstudio.inference.windows.parse_window`.
    refine : str
        A refiner that looks at the image again after the network, with its options: "dense-crf",
        "dense-crf:iterations=5,colour_std=3"; "none" for none.

    Raises
    ------
    NotACheckpointError
        When the weights do not fit, or nothing says what the outputs mean.
    UsageError
        When the device, the precision, the window or the refiner cannot be used.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: str = "auto",
        precision: str = "auto",
        window: str = "auto",
        refine: str = "none",
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
        self.refiner = build_refiner(refine)
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device)
        network = build_network(checkpoint).to(self.device)
        self.network = network.to(memory_format=torch.channels_last)
        plain = tuple(range(checkpoint.classes))
        self._table: NDArray[np.generic] | None = None
        if checkpoint.output_classes != plain:
            self._table = np.asarray(checkpoint.output_classes, self.label_space.dtype)

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
        if self.refiner is not None:
            return self.predict_with_scores(image)[0]
        return self._fused(self._logits(image), *image.shape[:2])

    def predict_with_scores(self, image: Image) -> tuple[Prediction, NDArray[np.float32]]:
        """Predict one image and return also what the argmax was taken of.

        Returns
        -------
        Prediction
            As `predict` gives it.
        ndarray of shape (C, H, W), float32
            Logits at the image's own size; probabilities for models that average those, and
            behind a refiner.
        """
        height, width = image.shape[:2]
        logits = self._logits(image)
        align = self.preprocessing.align_corners
        full = F.interpolate(logits[None], (height, width), mode="bilinear", align_corners=align)
        if self.refiner is not None or self.preprocessing.average == "probabilities":
            full = full.softmax(1)
        scores: NDArray[np.float32] = full[0].cpu().numpy()
        if self.refiner is None:
            return self._fused(logits, height, width), scores
        scores = self.refiner.refine(image, scores)
        refined = torch.from_numpy(np.log(np.maximum(scores, _TINY))).to(self.device)
        return self._fused(refined, height, width), scores

    def _fused(self, logits: Tensor, height: int, width: int) -> Prediction:
        """Turn (C, h, w) logits into a prediction at the image's size."""
        align = self.preprocessing.align_corners
        if self.device.type == "cpu":
            prediction = fuse_logits(logits.numpy(), height, width, align_corners=align)
        else:
            prediction = fuse_logits_torch(logits, height, width, align_corners=align)
        if self._table is None:
            return prediction
        return Prediction(
            self._table[prediction.label_map],
            prediction.entropy,
            prediction.confidence,
            self._table[prediction.runner_up],
            prediction.classes,
        )

    @torch.inference_mode()
    def _logits(self, image: Image) -> Tensor:
        """Return (C, h, w) float32 logits whose extent is that of the image."""
        try:
            logits = self._network_logits(image)
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise self._too_large(image) from error
        except RuntimeError as error:
            if "memory" not in str(error).lower():
                raise
            raise self._too_large(image) from error
        if not bool(torch.isfinite(logits).all()):
            raise SegStudioError(
                f"{self.checkpoint.path} gave values that are no numbers at {self.precision}; "
                "try the precision fp32, or the file is damaged."
            )
        return logits[0].contiguous()

    def _too_large(self, image: Image) -> SegStudioError:
        return SegStudioError(
            f"An image of {image.shape[0]} x {image.shape[1]} pixels does not fit into the "
            f"memory of {self.device}; choose another device, a window or a smaller model."
        )

    def _network_logits(self, image: Image) -> Tensor:
        """Preprocess, run the network, and cut off what padding added: (1, C, h, w) float32."""
        resized = resize_image(image, self.preprocessing)
        height, width = resized.shape[:2]
        batch = to_input(resized, self.preprocessing, self.device)
        align = self.preprocessing.align_corners
        dtype = _DTYPES[self.precision]
        with torch.autocast(self.device.type, dtype=dtype, enabled=self.precision != "fp32"):
            if self.window is not None:
                if self.preprocessing.fill_window:
                    batch = fill_window(batch, self.window)
                    height, width = batch.shape[-2:]
                logits = slide(self.network, batch, self.window, align_corners=align)
            else:
                channels_last = batch.contiguous(memory_format=torch.channels_last)
                logits = self.network(channels_last).float()
        two_steps = self.preprocessing.upsample_to_input and resized.shape != image.shape
        # Padding has to be cut off at a size where it is a whole number of pixels.
        if two_steps or self.window is not None or batch.shape[-2:] != (height, width):
            if logits.shape[-2:] != batch.shape[-2:]:
                logits = F.interpolate(
                    logits, size=batch.shape[-2:], mode="bilinear", align_corners=align
                )
            logits = logits[..., :height, :width]
        return logits


def build_refiner(text: str) -> Refiner | None:
    """Return the refiner of "NAME" or "NAME:key=value,key=value", None for "none".

    Raises
    ------
    UnknownNameError
        When no refiner has that name.
    UsageError
        When its options make no sense.
    """
    if text == "none":
        return None
    name, _, options = text.partition(":")
    page = REFINERS.get(name)
    return page(options_from_text(page.Options, options))


def load_model(
    name_or_path: str | Path,
    *,
    device: str = "auto",
    precision: str = "auto",
    window: str = "auto",
    refine: str = "none",
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
    return Model(checkpoint, device=device, precision=precision, window=window, refine=refine)
