"""How a model wants its input: a value that travels with the checkpoint, never a user's choice."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Preprocessing"]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """From an RGB uint8 image to network input, and from logits back to the image's size.

    The input is ``(pixel - mean) / std`` per channel with mean and std on the 0..255 scale.

    Attributes
    ----------
    mean, std : (float, float, float)
        In the model's channel order, 0..255.
    channel_order : str
        "rgb" or "bgr".
    resize : str
        "none" (the image's own size), "keep-ratio" (so that it fits ``size`` = (long, short) as
        MMSegmentation does), "keep-ratio-aligned" (then each side stretched to the next multiple
        of 32, as NVlabs/SegFormer's AlignedResize does), "exact" (to ``size`` = (H, W)),
        "short-side" (so that the short side is ``size[1]``, as torchvision does) or
        "short-side-at-least" (upsized so that the short side is at least ``size[1]``).
    size : (int, int) or None
        See ``resize``.
    antialias : bool
        Whether shrinking averages over all pixels (Pillow's bilinear, Hugging Face) or samples
        four of them (OpenCV's, MMSegmentation); of no effect when ``resize`` is "none".
    divisor : int
        Input height and width are padded (bottom, right, with the mean colour) to a multiple.
    align_corners : bool
        How logits are upsampled.
    upsample_to_input : bool
        Whether logits are brought to the network's input size before the image's
        (MMSegmentation), or straight to the image's (Hugging Face); of no effect when the two
        sizes are equal.
    window, stride : (int, int) or None
        Published sliding window in network input pixels, None for the whole image.
    fill_window : bool
        Whether an input whose short side is below the window's is enlarged, after normalisation,
        until it is not (rstrudel/segmenter); otherwise the window is cut to the input.
    average : str
        What the scores of a pixel are, and what test-time augmentation averages: "logits" or
        "probabilities".  Overlapping windows are averaged as logits in any case.
    """

    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    channel_order: str = "rgb"
    resize: str = "none"
    size: tuple[int, int] | None = None
    antialias: bool = False
    divisor: int = 1
    align_corners: bool = False
    upsample_to_input: bool = True
    window: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None
    fill_window: bool = False
    average: str = "logits"

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Preprocessing:
        """Return the value that `to_json` wrote; unknown keys are ignored."""
        values: dict[str, Any] = {
            key: tuple(data[key]) if isinstance(data[key], list) else data[key]
            for key in cls.__slots__
            if key in data
        }
        return cls(**values)
