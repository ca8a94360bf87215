"""Questions about a network's inside and their answers: values that travel between processes.

The pictures in them are 8-bit maps of the image's size; nothing here loads torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.label_space import LabelSpace
from segstudio.core.palette import Color
from segstudio.core.types import BBox

__all__ = [
    "AttentionPicture",
    "Distances",
    "Embeddings",
    "LookAnswer",
    "LookRequest",
    "ModelChoice",
    "ModelParts",
    "ProbabilityPicture",
    "StagePicture",
]

Levels = NDArray[np.uint8]
"""(H, W), 0 at a picture's ``low`` and 255 at its ``high``."""


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which model to look into, as a run used it.

    Attributes
    ----------
    model : str
        Name or path.
    device, window, refine, tta : str
        See `segstudio.inference.model.load_model`.
    label_space : LabelSpace or None
        What its outputs mean, when a run was told so; None takes what its file says.
    """

    model: str
    device: str = "auto"
    window: str = "auto"
    refine: str = "none"
    tta: str = "none"
    label_space: LabelSpace | None = None


@dataclass(frozen=True, slots=True)
class LookRequest:
    """One question about a network.

    Attributes
    ----------
    topic : str
        "parts", "attention", "distances", "embeddings", "probability" or "stage".
    choice : ModelChoice
    image : Path or None
        The image file; None where no image is needed.
    row, column : int
        Pixel of the image that was clicked, for "attention".
    layer : int
        For "attention"; see `segstudio.inference.insight.attention.LayerInfo`.
    head : int or None
        None for the mean of all heads.
    index : int
        Output of the network for "probability", place among the stages for "stage".
    number : int
        Comes back with the answer.
    """

    topic: str
    choice: ModelChoice
    image: Path | None = None
    row: int = 0
    column: int = 0
    layer: int = -1
    head: int | None = None
    index: int = 0
    number: int = 0


@dataclass(frozen=True, slots=True)
class LookAnswer:
    """What was found, or one sentence why not.

    Attributes
    ----------
    request : LookRequest
    result : ModelParts, AttentionPicture, Distances, Embeddings, ProbabilityPicture, StagePicture
        By the topic; None with an error.
    error : str or None
    """

    request: LookRequest
    result: Any = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ModelParts:
    """What a model has that can be looked at.

    Attributes
    ----------
    title : str
        File and architecture.
    layers : tuple of (str, int)
        Name and heads of the attention layers; none for a convolutional network.
    no_attention, no_vectors, no_stages : str or None
        One sentence when there are no attention layers, no vector for each class, no feature maps.
    outputs : tuple of str
        Class name of each output.
    colors : tuple of (R, G, B)
        Of each output.
    indices : tuple of int
        Class index of each output in the model's label space.
    """

    title: str
    layers: tuple[tuple[str, int], ...]
    no_attention: str | None
    no_vectors: str | None
    no_stages: str | None
    outputs: tuple[str, ...]
    colors: tuple[Color, ...]
    indices: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class AttentionPicture:
    """What a patch looks at; see `segstudio.inference.insight.attention.AttentionMap`.

    Attributes
    ----------
    levels : ndarray of shape (H, W), uint8
    high : float
        Weight at level 255; level 0 is 0.
    patch, seen : BBox
        The patch that asks; what the pass saw.
    cell, grid, keys : (int, int)
        Row and column of the asking patch, and rows and columns of the patches that ask and of
        those that are looked at.
    elsewhere : float
        Weight on tokens that are no patches, 0..1.
    """

    levels: Levels
    high: float
    patch: BBox
    seen: BBox
    cell: tuple[int, int]
    grid: tuple[int, int]
    keys: tuple[int, int]
    elsewhere: float


@dataclass(frozen=True, slots=True)
class Distances:
    """Mean attention distances in pixels of the network's input.

    Attributes
    ----------
    layers : tuple of (str, tuple of float)
        Name of each layer and the distance of each of its heads.
    piece_size : (int, int)
        Height and width of what goes through the network at once.
    passes : int
    """

    layers: tuple[tuple[str, tuple[float, ...]], ...]
    piece_size: tuple[int, int]
    passes: int


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The vectors of the classes in a plane.

    Attributes
    ----------
    source : str
        "mask transformer" or "classifier".
    points : tuple of (float, float)
        By output.
    explained : (float, float)
        Share of the variance along each axis, 0..1.
    """

    source: str
    points: tuple[tuple[float, float], ...]
    explained: tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class ProbabilityPicture:
    """How probable a class is at each pixel: level 255 is 1.

    Attributes
    ----------
    levels : ndarray of shape (H, W), uint8
    mean : float
        Over the image, 0..1.
    """

    levels: Levels
    mean: float


@dataclass(frozen=True, slots=True, eq=False)
class StagePicture:
    """The feature norms of one of the encoder's stages.

    Attributes
    ----------
    names : tuple of str
        Of all stages.
    levels : ndarray of shape (H, W), uint8
    low, high : float
        Norms at levels 0 and 255.
    channels : int
    stride : float
        Input pixels from one feature to the next.
    """

    names: tuple[str, ...]
    levels: Levels
    low: float
    high: float
    channels: int
    stride: float
