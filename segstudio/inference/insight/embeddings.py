"""Where a network keeps its classes apart: one vector per class, projected to a plane.

Segmenter's mask transformer learns an embedding per class (Strudel et al., "Segmenter", ICCV 2021,
arXiv:2105.05633, whose appendix projects them by a singular value decomposition); a 1 x 1
convolution that classifies has a row of weights per class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from segstudio.architectures.segmenter import MaskTransformer, Segmenter
from segstudio.core.errors import UsageError
from segstudio.inference.insight.view import inner_network
from segstudio.inference.model import Model

__all__ = ["ClassEmbeddings", "class_embeddings", "find_class_vectors", "output_names", "project"]


@dataclass(frozen=True, slots=True, eq=False)
class ClassEmbeddings:
    """The vectors of classes and their projection to a plane.

    Attributes
    ----------
    source : str
        "mask transformer" or "classifier".
    names : tuple of str
        Of the C outputs.
    vectors : ndarray of shape (C, D), float32
    points : ndarray of shape (C, 2), float64
        Coordinates along the first two right singular vectors of the centred vectors; the entry of
        largest magnitude of each singular vector is positive.
    explained : (float, float)
        Share of the variance along each, 0..1.
    """

    source: str
    names: tuple[str, ...]
    vectors: NDArray[np.float32]
    points: NDArray[np.float64]
    explained: tuple[float, float]


def class_embeddings(model: Model) -> ClassEmbeddings:
    """Return the vectors that stand for a model's classes.

    Raises
    ------
    UsageError
        When no single vector stands for a class.
    """
    found = find_class_vectors(model)
    if found is None:
        raise UsageError(
            f"{model.checkpoint.path.name} ({model.checkpoint.architecture}) has no vector for "
            "each class: that takes a mask transformer or a 1 x 1 convolution as the classifier."
        )
    source, vectors = found
    points, explained = project(vectors)
    return ClassEmbeddings(source, tuple(output_names(model)), vectors, points, explained)


def find_class_vectors(model: Model) -> tuple[str, NDArray[np.float32]] | None:
    """Return what the vectors are and the (C, D) vectors, None when there are none."""
    network = inner_network(model)
    name = network.classifier
    if isinstance(network, Segmenter):
        if isinstance(network.head, MaskTransformer):
            return "mask transformer", _to_array(network.head.classes[0])
        name = "head.classify"
    module = network.get_submodule(name) if name else None
    if isinstance(module, nn.Conv2d) and module.groups == 1:
        weight = module.weight
        if module.kernel_size == (1, 1) and weight.shape[0] == network.classes:
            return "classifier", _to_array(weight[:, :, 0, 0])
    return None


def output_names(model: Model) -> list[str]:
    """Return the class name of each output of a model's network, "void" for the ignored one."""
    names = model.label_space.names
    return [
        names[index] if index < len(names) else "void" for index in model.checkpoint.output_classes
    ]


def project(
    vectors: NDArray[np.floating],
) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Project vectors to the plane in which they differ most.

    ``X - mean(X) = U S V^T``; the points are the first two columns of ``U S``.

    Parameters
    ----------
    vectors : ndarray of shape (C, D)

    Returns
    -------
    ndarray of shape (C, 2), float64
        A coordinate that does not exist (one vector, or D = 1) is 0.
    (float, float)
        Share of the variance along each coordinate, 0..1.
    """
    centred = np.asarray(vectors, np.float64)
    centred = centred - centred.mean(0)
    left, values, right = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((len(centred), 2))
    shares = [0.0, 0.0]
    total = float((values**2).sum())
    for axis in range(min(2, len(values)) if total else 0):
        # A singular vector's sign is free: this one does not depend on the library.
        sign = np.sign(right[axis, np.abs(right[axis]).argmax()])
        points[:, axis] = left[:, axis] * values[axis] * sign
        shares[axis] = float(values[axis] ** 2) / total
    return points, (shares[0], shares[1])


def _to_array(parameter: Tensor) -> NDArray[np.float32]:
    found: NDArray[np.float32] = parameter.detach().float().cpu().numpy().copy()
    return found
