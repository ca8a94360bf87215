"""What the pages that show one network the image at several scales have in common.

Such a page wraps another architecture of the registry, whose weights all scales share, and says
how the logits of the scales become one.  Wrapped weights are those of the inner architecture
under ``inner.``; a buffer keeps the scales, which no weight would tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segstudio.architectures._base import (
    ARCHITECTURES,
    Recognition,
    SegmentationNetwork,
    StateDict,
)
from segstudio.core.errors import UsageError
from segstudio.core.options import option, options_from_text, options_to_text

__all__ = [
    "MultiScaleNetwork",
    "ScaleOptions",
    "format_scales",
    "parse_scales",
    "recognise_inner",
    "scales_of",
    "to_size",
]

_INNER = "inner."
_MAX_SCALES = 8
_LARGEST = 8.0


@dataclass(frozen=True)
class ScaleOptions:
    """Options that every page over several scales has."""

    inner: str = option("linknet", "Architecture that sees the image at every scale.")
    inner_options: str = option(
        "", "Its options, as in width=32,depth=4; those that are not named take their defaults."
    )
    scales: str = option(
        "0.5,0.75,1", "Sizes of the image that the network sees, as in 0.5,1 or 0.5,1,2."
    )


def parse_scales(text: str) -> tuple[float, ...]:
    """Return the scales that a text names, smallest first.

    Raises
    ------
    UsageError
        When it is no list of different positive numbers up to 8.
    """
    try:
        found = tuple(sorted(float(part) for part in text.split(",")))
    except ValueError:
        found = ()
    sound = all(0 < scale <= _LARGEST for scale in found) and len(set(found)) == len(found)
    if not 1 <= len(found) <= _MAX_SCALES or not sound:
        raise UsageError(
            f"The scales {text!r} are not up to {_MAX_SCALES} different numbers above 0 and up "
            f"to {_LARGEST:g} with commas between them; write for example 0.5,1."
        )
    return found


def format_scales(scales: Sequence[float]) -> str:
    """Return the text that `parse_scales` reads."""
    return ",".join(f"{scale:.4g}" for scale in scales)


def scales_of(tensor: Tensor, default: str) -> str:
    """Return the scales that a buffer keeps, as text.

    Parameters
    ----------
    tensor : Tensor of shape (S,)
        On the meta device there are no values: ``default`` is taken when it names S scales, else
        S even steps up to 1.
    default : str
        A text for `parse_scales`.

    Raises
    ------
    ValueError
        When the values cannot be scales.
    """
    count = int(tensor.shape[0])
    if not tensor.is_meta:
        text = format_scales(tensor.tolist())
    elif len(parse_scales(default)) == count:
        text = default
    else:
        text = format_scales([(step + 1) / count for step in range(count)])
    try:
        parse_scales(text)
    except UsageError as error:
        raise ValueError(str(error)) from error
    return text


def to_size(maps: Tensor, size: Sequence[int], align_corners: bool = False) -> Tensor:
    """Resize (N, C, h, w) maps bilinearly, if they are not of that size."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=align_corners)


class MultiScaleNetwork(SegmentationNetwork):
    """A network over several scales of the image; `inner` has the weights.

    Subclasses fuse.  They work at the resolution of the inner network's own head.

    Raises
    ------
    UsageError
        When there is no such inner architecture, when it is over several scales itself, or when
        its options or the scales make no sense.
    """

    def __init__(self, classes: int, options: Any = None) -> None:
        super().__init__(classes, options)
        chosen: ScaleOptions = self.options
        page = ARCHITECTURES.get(chosen.inner)
        if issubclass(page, MultiScaleNetwork):
            raise UsageError(
                f"{page.facts.title} shows a network several scales itself and cannot be inside "
                f"{type(self).facts.title}; choose an architecture that sees one scale."
            )
        self.scales = parse_scales(chosen.scales)
        self.inner = page(classes, options_from_text(page.Options, chosen.inner_options))
        # Both are facts of the inner network here, though of a class everywhere else.
        self.align_corners = self.inner.align_corners  # type: ignore[misc]
        self.trainable = self.inner.trainable  # type: ignore[misc]

    def keep_scales(self, name: str, scales: Sequence[float]) -> None:
        """Register the buffer that brings the scales back out of a file."""
        self.register_buffer(name, torch.tensor(list(scales), dtype=torch.float32))

    def used_scales(self) -> tuple[float, ...]:
        """Return the scales of a forward pass, smallest first."""
        return self.scales

    def scale_logits(self, image: Tensor) -> list[Tensor]:
        """Return the logits of each scale before they are fused: for supervision of its own.

        Parameters
        ----------
        image : Tensor of shape (N, 3, H, W), floating

        Returns
        -------
        list of Tensor
            In the order of `used_scales`, each (N, C, h, w) at the inner head's resolution of
            that scale.
        """
        return [self.inner(scaled) for scaled in self.scaled_images(image)]

    def scaled_images(self, image: Tensor) -> Iterator[Tensor]:
        """Yield the image at each scale, in the order of `used_scales`."""
        height, width = image.shape[-2:]
        for scale in self.used_scales():
            size = max(1, round(height * scale)), max(1, round(width * scale))
            yield to_size(image, size)

    @property
    def target(self) -> int:
        """Place in `used_scales` of the scale that sets the resolution: 1, or the next below."""
        return max(0, sum(scale <= 1 for scale in self.used_scales()) - 1)

    def fused_size(self, logits: Sequence[Tensor], image: Tensor) -> tuple[int, int]:
        """Return the size of the fused logits, never larger than the image's."""
        height, width = logits[self.target].shape[-2:]
        return min(height, image.shape[-2]), min(width, image.shape[-1])

    @property
    def feature_channels(self) -> int:
        """Number of channels of the features that attention looks at."""
        found = _convolution(self._classifier())
        return self.classes if found is None else found.in_channels

    def features_and_logits(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return what attention looks at, and the logits, of one scaled image.

        The features are the input of the inner network's classifier, and the logits themselves
        where no convolution classifies.  Both show the same part of the image.

        Parameters
        ----------
        image : Tensor of shape (N, 3, H, W), floating

        Returns
        -------
        features : Tensor of shape (N, F, h', w')
        logits : Tensor of shape (N, C, h, w)
        """
        module = self._classifier()
        if module is None or _convolution(module) is None:
            logits = self.inner(image)
            return logits, logits
        with _input_of(module) as seen:
            logits = self.inner(image)
        return _cropped(seen[-1], logits), logits

    def _classifier(self) -> nn.Module | None:
        """Return the module that makes the inner network's logits, None when no single one does."""
        name = self.inner.classifier
        return self.inner.get_submodule(name) if name else None


def _cropped(features: Tensor, logits: Tensor) -> Tensor:
    """Crop features as the logits were that an inner network cropped after padding its image.

    The logits are a whole number of times as large as the features; what does not fit into that
    is padding at the bottom and right.
    """
    height, width = (
        -(-want // max(1, -(-want // have)))
        for have, want in zip(features.shape[-2:], logits.shape[-2:], strict=True)
    )
    return features[..., :height, :width]


def recognise_inner(state_dict: StateDict) -> tuple[Recognition, dict[str, str]] | None:
    """Ask the pages of the registry for the wrapped weights.

    Returns
    -------
    (Recognition, dict) or None
        What the inner weights are, and the options ``inner`` and ``inner_options`` of their
        wrapper; None when not exactly one page that is no wrapper itself recognises them as its
        own.
    """
    inner = {
        key[len(_INNER) :]: value for key, value in state_dict.items() if key.startswith(_INNER)
    }
    if not inner:
        return None
    claims = []
    for name, page in ARCHITECTURES.items():
        found = None if issubclass(page, MultiScaleNetwork) else page.recognise(inner)
        if found is not None:
            claims.append((name, found))
    if len(claims) != 1 or claims[0][1].source != "segstudio":
        return None
    name, recognition = claims[0]
    return recognition, {"inner": name, "inner_options": options_to_text(recognition.options)}


def _convolution(module: nn.Module | None) -> nn.Conv2d | nn.ConvTranspose2d | None:
    """Return the first convolution of a classifier: its input is the classifier's."""
    for entry in module.modules() if module is not None else ():
        if isinstance(entry, nn.Conv2d | nn.ConvTranspose2d):
            return entry
    return None


@contextmanager
def _input_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """Collect what a module is called with."""
    seen: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    try:
        yield seen
    finally:
        handle.remove()
