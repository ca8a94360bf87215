"""Several models on one image: their mean, and how far they disagree.

With the probabilities p_t of the members t = 1..T at a pixel and their mean p:

- The *predictive entropy* is H[p] = -sum_c p_c log p_c; it is the prediction's entropy.
- The *mutual information* between the class and the choice of the member is
  H[p] - 1/T sum_t H[p_t]: 0 when all members say the same, log min(C, T) at most.  What is left of
  the entropy is what the members themselves are unsure of.
- The *variation ratio* is 1 - f/T, where f members name the class that is named most often:
  0 when all agree, 1 - 1/T at most.

References
----------
L. C. Freeman, "Elementary Applied Statistics", Wiley, 1965 (variation ratio).
N. Houlsby, F. Huszar, Z. Ghahramani, M. Lengyel, "Bayesian Active Learning for Classification and
Preference Learning", arXiv:1112.5745, 2011 (mutual information).
Y. Gal, "Uncertainty in Deep Learning", PhD thesis, Cambridge, 2016, section 3.3 (all three).
B. Lakshminarayanan, A. Pritzel, C. Blundell, "Simple and Scalable Predictive Uncertainty Estimation
using Deep Ensembles", NeurIPS 2017 (averaging probabilities).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from segstudio.core.errors import UsageError
from segstudio.core.types import Image, Prediction, quantise, quantise_entropy
from segstudio.datasets.rows import ArrayRows, RowSource
from segstudio.inference.backends.joint import JointBackend
from segstudio.inference.bands import RowBand, identity_blocks, join_bands, rows_of_scores
from segstudio.inference.fused import fuse_block

if TYPE_CHECKING:
    from torch import Tensor

    from segstudio.core.preprocessing import Preprocessing
    from segstudio.inference.augmentation import View
    from segstudio.inference.model import Model
    from segstudio.inference.windows import Window

__all__ = ["MUTUAL_INFORMATION", "VARIATION_RATIO", "Ensemble", "EnsemblePrediction", "combine"]

MUTUAL_INFORMATION, VARIATION_RATIO = "mutual_information", "variation_ratio"
"""Layers that a run of an ensemble keeps besides those of a model."""


@dataclass(frozen=True, slots=True, eq=False)
class EnsemblePrediction:
    """What several models say of one image.

    Attributes
    ----------
    prediction : Prediction
        Of the mean probabilities.
    variation_ratio : ndarray of shape (H, W), float32
        0..1 - 1/T.
    mutual_information : ndarray of shape (H, W), float32
        Nats, 0..log min(C, T).
    members : int
        T.
    """

    prediction: Prediction
    variation_ratio: NDArray[np.float32]
    mutual_information: NDArray[np.float32]
    members: int


@torch.inference_mode()
def combine(probabilities: Sequence[Tensor]) -> EnsemblePrediction:
    """Combine the members' probabilities of the same pixels.

    Parameters
    ----------
    probabilities : sequence of Tensor of shape (C, H, W), float32
        One per member, over the same classes.

    Raises
    ------
    UsageError
        When there is none, or their shapes differ.
    """
    shapes = {tuple(member.shape) for member in probabilities}
    if len(shapes) != 1:
        raise UsageError(f"Members of an ensemble give scores of one shape, not of {len(shapes)}.")
    members = len(probabilities)
    total = probabilities[0].cpu().clone()
    own_entropy = torch.special.entr(total).sum(0)
    votes = [total.argmax(0)]
    for member in probabilities[1:]:
        values = member.cpu()
        total += values
        own_entropy += torch.special.entr(values).sum(0)
        votes.append(values.argmax(0))
    mean = total / members
    agreeing = torch.stack([sum((vote == other).int() for other in votes) for vote in votes])  # type: ignore[misc]
    information = torch.special.entr(mean).sum(0) - own_entropy / members
    logits = mean.clamp_(min=torch.finfo().tiny).log_()
    (block,) = identity_blocks([logits])
    return EnsemblePrediction(
        fuse_block(block),
        (1 - agreeing.amax(0) / members).numpy(),
        information.clamp_(min=0).numpy(),
        members,
    )


class Ensemble:
    """Several models in one label space, applied together.

    Parameters
    ----------
    models : sequence of Model
        Of different networks, windows, augmentations and refiners, as one likes.  Outputs that
        stand for void are left out, and the others' probabilities divided by their sum.

    Raises
    ------
    UsageError
        When there is none, they are in different label spaces, or one does not know all classes.
    """

    def __init__(self, models: Sequence[Model]) -> None:
        if not models:
            raise UsageError("An ensemble needs at least one model.")
        self.models = tuple(models)
        self.label_space = models[0].label_space
        for model in models[1:]:
            if model.label_space.fingerprint != self.label_space.fingerprint:
                raise UsageError(
                    f"{model.checkpoint.path} is in the label space {model.label_space.name}, but "
                    f"{models[0].checkpoint.path} in {self.label_space.name}; an ensemble needs "
                    "models of one label space."
                )
        self._outputs = [self._outputs_of(model) for model in models]
        self._largest = max(models, key=lambda model: prod(model.preprocessing.size or (0,)))
        self.backend = JointBackend([model.backend for model in models])

    def _outputs_of(self, model: Model) -> list[int]:
        """Return the model's output for each class of the label space."""
        outputs = list(model.checkpoint.output_classes)
        classes = range(len(self.label_space))
        if any(outputs.count(index) != 1 for index in classes):
            raise UsageError(
                f"{model.checkpoint.path} does not have one output for each class of "
                f"{self.label_space.name}; it cannot be in an ensemble."
            )
        return [outputs.index(index) for index in classes]

    # -- what a run asks of a model ----------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Of all members."""
        return self.models[0].device

    @property
    def precision(self) -> str:
        """Of the members, without repetition."""
        return "+".join(sorted({model.precision for model in self.models}))

    @property
    def preprocessing(self) -> Preprocessing:
        """Of the member whose input is the largest; each applies its own."""
        return self._largest.preprocessing

    @property
    def views(self) -> Sequence[View]:
        """Of the same member."""
        return self._largest.views

    @property
    def window(self) -> Window | None:
        """Of the same member."""
        return self._largest.window

    @property
    def report(self) -> Callable[[str], None] | None:
        """See `segstudio.inference.model.Model`."""
        return self.models[0].report

    @report.setter
    def report(self, tell: Callable[[str], None] | None) -> None:
        for model in self.models:
            model.report = tell

    def input_counts(self, sizes: Iterable[tuple[int, int]]) -> Counter[tuple[int, int]]:
        """Return how many inputs of which shape the members make of images of these (H, W)."""
        listed = list(sizes)
        return sum((model.input_counts(listed) for model in self.models), Counter())

    def prepare(self, image: Image) -> None:
        """Say that images go through one by one."""

    # -- predicting --------------------------------------------------------------------------------

    def predict(self, image: Image) -> EnsemblePrediction:
        """Predict one (H, W, 3) uint8 RGB image.

        Raises
        ------
        SegStudioError
            See `segstudio.inference.model.Model.predict`.
        """
        height, width = image.shape[:2]
        ratio, information = (np.empty((height, width), np.float32) for _ in range(2))

        def bands() -> Iterator[RowBand]:
            for top, result in self._results(ArrayRows(image)):
                rows = slice(top, top + len(result.variation_ratio))
                ratio[rows] = result.variation_ratio
                information[rows] = result.mutual_information
                yield RowBand(top, result.prediction)

        return EnsemblePrediction(join_bands(bands(), height), ratio, information, len(self.models))

    def predict_rows(self, source: Image | RowSource) -> Iterator[RowBand]:
        """Predict one image by bands of rows from the top; all models advance together.

        Yields
        ------
        RowBand
            With the layers `MUTUAL_INFORMATION`, divided by log C, and `VARIATION_RATIO`.

        Raises
        ------
        SegStudioError
            See `segstudio.inference.model.Model.predict`.
        """
        source = ArrayRows(source) if isinstance(source, np.ndarray) else source
        for top, result in self._results(source):
            classes = result.prediction.classes
            more = {
                MUTUAL_INFORMATION: quantise_entropy(result.mutual_information, classes),
                VARIATION_RATIO: quantise(result.variation_ratio),
            }
            yield RowBand(top, result.prediction, more)

    def _results(self, source: RowSource) -> Iterator[tuple[int, EnsemblePrediction]]:
        """Yield the first row and the prediction of each band."""
        largest = max(model.checkpoint.classes for model in self.models)
        rows = rows_of_scores(largest, source.width)
        together = zip(
            *(model.probability_rows(source, rows) for model in self.models), strict=True
        )
        top = 0
        for parts in together:
            members = [
                self._in_label_space(part, outputs)
                for part, outputs in zip(parts, self._outputs, strict=True)
            ]
            yield top, combine(members)
            top += parts[0].shape[1]

    @staticmethod
    def _in_label_space(probabilities: Tensor, outputs: list[int]) -> Tensor:
        if outputs == list(range(len(probabilities))):
            return probabilities
        chosen = probabilities[outputs]
        return chosen / chosen.sum(0).clamp_(min=torch.finfo().tiny)
