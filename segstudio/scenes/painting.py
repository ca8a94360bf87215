"""The camera of a scene and the canvas that it is painted on, colours and labels at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(11)
CLASSES = 11
"""Number of classes of a scene, CamVid's."""


SUPERSAMPLING = 2
"""Scenes are painted so many times larger than asked for, then averaged."""

_ANGLES = np.linspace(0, 2 * math.pi, 24, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], 1)

Color = tuple[float, float, float]
Point = tuple[float, float]


@dataclass(frozen=True)
class Camera:
    """Where things of the street appear in the picture."""

    focal: float
    center_x: float
    horizon: float
    height: float
    roll: float

    def project(self, x: float, y: float, z: float) -> Point:
        """Return (column, row) of a point in metres; z is cut at half a metre."""
        depth = max(z, 0.5)
        u = self.focal * x / depth
        v = self.focal * (self.height - y) / depth
        return self.center_x + u - v * self.roll, self.horizon + v + u * self.roll

    def pixels(self, metres: float, z: float) -> float:
        """Return the length of an upright rod at distance z."""
        return self.focal * metres / max(z, 0.5)


class Canvas:
    """Paints colours and labels with the same shapes."""

    def __init__(self, height: int, width: int, generator: np.random.Generator) -> None:
        self.image: NDArray[np.float32] = np.zeros((height, width, 3), np.float32)
        self.labels = np.zeros((height, width), np.uint8)
        self.random = generator

    def polygon(
        self, points: Sequence[Point] | NDArray[np.float64], color: Color, label: int | None
    ) -> None:
        """Fill a polygon; ``label`` None leaves the labels as they are."""
        corners = np.clip(np.asarray(points, np.float64), -20000, 20000)
        fixed = [np.round(corners * 16).astype(np.int32)]
        cv2.fillPoly(self.image, fixed, color, shift=4)
        if label is not None:
            cv2.fillPoly(self.labels, fixed, label, shift=4)

    def ellipse(
        self, center: Point, axes: Point, color: Color, label: int | None, *, angle: float = 0
    ) -> None:
        """Fill an ellipse with half axes ``axes``."""
        turn = math.radians(angle)
        along, across = axes[0] * _CIRCLE[:, 0], axes[1] * _CIRCLE[:, 1]
        points = np.empty_like(_CIRCLE)
        points[:, 0] = center[0] + math.cos(turn) * along - math.sin(turn) * across
        points[:, 1] = center[1] + math.sin(turn) * along + math.cos(turn) * across
        self.polygon(points, color, label)

    def rod(self, start: Point, end: Point, width: float, color: Color, label: int) -> None:
        """Fill a straight bar of at least one picture pixel's width."""
        half = max(width, SUPERSAMPLING) / 2
        dx, dy = end[0] - start[0], end[1] - start[1]
        length = math.hypot(dx, dy) or 1.0
        nx, ny = -dy / length * half, dx / length * half
        corners = [
            (start[0] + nx, start[1] + ny),
            (end[0] + nx, end[1] + ny),
            (end[0] - nx, end[1] - ny),
            (start[0] - nx, start[1] - ny),
        ]
        self.polygon(corners, color, label)

    def shade(self, points: Sequence[Point], factor: float) -> None:
        """Darken the ground inside a polygon."""
        height, width = self.labels.shape
        corners = np.asarray(points, np.float64)
        left, top = (max(0, int(value)) for value in np.floor(corners.min(0)))
        right, bottom = (int(value) + 1 for value in np.ceil(corners.max(0)))
        box = np.s_[top : min(bottom, height), left : min(right, width)]
        labels = self.labels[box]
        if labels.size == 0:
            return
        mask = np.zeros(labels.shape, np.uint8)
        fixed = np.round((np.clip(corners, -20000, 20000) - (left, top)) * 16).astype(np.int32)
        cv2.fillPoly(mask, [fixed], 1, shift=4)
        self.image[box][(mask == 1) & ((labels == ROAD) | (labels == PAVEMENT))] *= factor


def smooth_noise(
    generator: np.random.Generator, height: int, width: int, cell: int
) -> NDArray[np.float32]:
    """Return smooth noise of mean 0 and deviation about 1, with blobs of ``cell`` pixels."""
    coarse = generator.normal(size=(height // cell + 2, width // cell + 2)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(smooth, np.float32)


def varied(generator: np.random.Generator, color: Color, spread: float = 14) -> Color:
    """Return a colour near another one: brighter or darker by chance, its hue a little off."""
    common = generator.normal(0, spread)
    red, green, blue = (
        float(np.clip(part + common + generator.normal(0, spread / 3), 0, 255)) for part in color
    )
    return red, green, blue


def pick(generator: np.random.Generator, entries: Sequence[Color]) -> Color:
    """Return one of the colours by chance."""
    return entries[int(generator.integers(len(entries)))]
