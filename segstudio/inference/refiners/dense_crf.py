"""The fully connected conditional random field, as DeepLab uses it.

P. Kraehenbuehl and V. Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge
Potentials", NIPS 2011; as a step after a network: L.-C. Chen et al., "Semantic Image Segmentation
with Deep Convolutional Nets and Fully Connected CRFs" (DeepLab), ICLR 2015, and "DeepLab" (v2),
PAMI 2018.  The energy has the unary term -log p of the network, and between every two pixels with
different labels (Potts) the cost

    w1 exp(-|position|^2 / 2 sigma_alpha^2 - |colour|^2 / 2 sigma_beta^2)   (appearance)
    + w2 exp(-|position|^2 / 2 sigma_gamma^2)                               (smoothness).

Each mean-field iteration filters the current probabilities with both Gaussian kernels, on the
permutohedral lattice, and takes the softmax of log p plus what came out.

Choices:

- Defaults: 10 iterations, w2 = 3 and sigma_gamma = 3 are fixed in both DeepLab papers; w1 = 4,
  sigma_alpha = 49 and sigma_beta = 5 are those of the CRF script released with DeepLab v1 and v2
  (run_densecrf.sh) and lie in the range that the v2 paper searches (3..6, 30..100, 3..6).  The best
  values depend on the network: 4, 67 and 3 are in use with DeepLab v2 on ResNet-101.
- Each kernel K is normalised on both sides, D^-1/2 K D^-1/2 with D the row sums of K, as in the
  authors' later code (ICML 2013): it stays symmetric, as mean field asks for, and a pixel of a
  rare colour gets messages too.  As there, the message of a pixel to itself stays in the sum.
- Classes that are improbable everywhere keep their probabilities and take no part; together they
  have at most 0.1 % of any pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from segstudio.core.options import option
from segstudio.core.types import Image
from segstudio.inference.refiners.base import REFINERS, Refiner

__all__ = ["DenseCRF", "FilterFactory", "GaussianFilter", "PermutohedralFilter"]

_NEGLIGIBLE = 1e-3
"""Largest total probability, at any pixel, of the classes that take no part."""

_SMALLEST = 1e-10
"""Probabilities below it count as it: the logarithm needs a floor."""

_LATTICE_BYTES = 2**23
"""Memory for the values on the lattice; channels that do not fit are done in turn.

Small, because values that stay in the processor's cache are not slower even in more passes.
"""


class GaussianFilter(Protocol):
    """A Gaussian kernel over N points, normalised on both sides."""

    def add_filtered(
        self, values: NDArray[np.float32], out: NDArray[np.float32], factor: float
    ) -> None:
        """Add ``factor`` times the filtered (N, L) ``values`` to ``out``, channel by channel.

        L is a multiple of `segstudio.inference._permutohedral.LANES`; both are C-contiguous.
        """


FilterFactory = Callable[[NDArray[np.float32]], GaussianFilter]
"""From (N, d) features, in units of the standard deviation, to the filter over them."""


class PermutohedralFilter:
    """A `GaussianFilter` on the permutohedral lattice.

    Parameters
    ----------
    features : ndarray of shape (N, d), float32
        Points in units of the kernel's standard deviation.
    closed : bool, optional
        Whether the lattice has every point that its blur reaches; by default only with at most two
        features, where that is cheap.
    memory : int
        Bytes for the values on the lattice; no less than `LANES` channels are done at once.
    """

    def __init__(
        self,
        features: NDArray[np.float32],
        *,
        closed: bool | None = None,
        memory: int = _LATTICE_BYTES,
    ) -> None:
        from segstudio.inference._permutohedral import LANES, build_lattice

        if closed is None:
            closed = features.shape[1] <= 2
        points = np.ascontiguousarray(features, np.float32)
        corners, weights, neighbours = build_lattice(points, closed)
        self._corners, self._weights, self._neighbours = corners, weights, neighbours
        # The kernel holds two float32 arrays of values while it blurs.
        row_bytes = 2 * 4 * LANES * (neighbours.shape[1] + 1)
        self._width = LANES * max(1, memory // row_bytes)
        ones = np.ones((len(features), LANES), np.float32)
        row_sums = np.zeros_like(ones)
        self.add_filtered(ones, row_sums, 1.0)
        # Splat and slice use the same weights, so this scales the kernel on both sides.
        self._weights /= np.sqrt(row_sums[:, :1])

    def add_filtered(
        self, values: NDArray[np.float32], out: NDArray[np.float32], factor: float
    ) -> None:
        """Add ``factor`` times the filtered values to ``out``; see `GaussianFilter`."""
        from segstudio.inference._permutohedral import filter_lattice

        channels = values.shape[1]
        for first in range(0, channels, self._width):
            last = min(first + self._width, channels)
            filter_lattice(
                values,
                out,
                first,
                last,
                float(factor),
                self._corners,
                self._weights,
                self._neighbours,
            )


@REFINERS.register("dense-crf")
class DenseCRF(Refiner):
    """The fully connected CRF with Gaussian edges, by mean field.

    It holds four arrays of the size of the probabilities, and 30 to 100 numbers per pixel.

    Parameters
    ----------
    options : DenseCRF.Options, optional
        None takes the defaults.
    make_filter : callable
        Builds the filters: the lattice, or an exact one to compare with.
    """

    description = "fully connected CRF: labels follow the edges of the image (DeepLab)"

    @dataclass(frozen=True)
    class Options:
        """Kernels and iterations; the papers' symbols are in brackets."""

        iterations: int = option(10, "Mean-field iterations.", minimum=1, maximum=100)
        position_std: float = option(
            49.0,
            "Reach of the appearance kernel in the image, pixels [sigma_alpha].",
            minimum=0.1,
            maximum=10000,
        )
        colour_std: float = option(
            5.0,
            "Reach of the appearance kernel in colour, levels of 0..255 [sigma_beta].",
            minimum=0.1,
            maximum=10000,
        )
        appearance_weight: float = option(
            4.0, "Weight of the appearance kernel [w1].", minimum=0, maximum=1000
        )
        smoothness_std: float = option(
            3.0, "Reach of the smoothness kernel, pixels [sigma_gamma].", minimum=0.1, maximum=10000
        )
        smoothness_weight: float = option(
            3.0, "Weight of the smoothness kernel [w2].", minimum=0, maximum=1000
        )

    options: Options

    def __init__(
        self, options: Options | None = None, *, make_filter: FilterFactory = PermutohedralFilter
    ) -> None:
        super().__init__(options)
        self._make_filter = make_filter

    def refine_checked(
        self, image: Image, probabilities: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the mean-field probabilities; see `Refiner.refine_checked`."""
        from segstudio.inference._permutohedral import LANES

        taking_part = _classes_taking_part(probabilities)
        classes = len(taking_part)
        height, width = image.shape[:2]
        padded = -(-classes // LANES) * LANES
        log_p = np.zeros((height * width, padded), np.float32)
        left = np.zeros((height, width), np.float32)
        for column, c in enumerate(taking_part):
            log_p[:, column] = np.log(np.maximum(probabilities[c], _SMALLEST)).ravel()
            left += probabilities[c]
        q = _mean_field(log_p, classes, self._kernels(image), self.options.iterations)
        for column, c in enumerate(taking_part):
            probabilities[c] = q[:, column].reshape(height, width) * left
        return probabilities

    def _kernels(self, image: Image) -> list[tuple[float, GaussianFilter]]:
        """Return the weight and the filter of each kernel that has a weight."""
        chosen = self.options
        height, width = image.shape[:2]
        positions = np.indices((height, width), np.float32).reshape(2, -1).T
        colours = image.reshape(-1, 3).astype(np.float32)
        kernels = []
        if chosen.appearance_weight > 0:
            parts = (positions / chosen.position_std, colours / chosen.colour_std)
            features = np.concatenate(parts, axis=1, dtype=np.float32)
            kernels.append((chosen.appearance_weight, self._make_filter(features)))
        if chosen.smoothness_weight > 0:
            features = np.divide(positions, chosen.smoothness_std, dtype=np.float32)
            kernels.append((chosen.smoothness_weight, self._make_filter(features)))
        return kernels


def _classes_taking_part(probabilities: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the classes but for the least probable ones, which are negligible even together."""
    highest = probabilities.max(axis=(1, 2)).astype(np.float64)
    order = np.argsort(highest, kind="stable")
    negligible = np.cumsum(highest[order]) <= _NEGLIGIBLE
    return np.sort(order[~negligible])


def _mean_field(
    log_p: NDArray[np.float32],
    classes: int,
    kernels: Sequence[tuple[float, GaussianFilter]],
    iterations: int,
) -> NDArray[np.float32]:
    """Return the mean-field probabilities, (N, L) like ``log_p``; the padding columns are zero.

    The Potts cost of the pixels with other labels is, up to a constant of the pixel, minus the
    filtered probability of the label itself.
    """
    from segstudio.inference._permutohedral import normalise_energies

    messages = np.zeros_like(log_p)
    q = np.zeros_like(log_p)
    normalise_energies(log_p, messages, q, classes)
    for _ in range(iterations):
        messages.fill(0)
        for weight, kernel in kernels:
            kernel.add_filtered(q, messages, weight)
        normalise_energies(log_p, messages, q, classes)
    return q
