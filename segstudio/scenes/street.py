"""Street scenes rendered by code, with exact masks in CamVid's classes.

A pinhole camera looks along a street from 1.4 m above the ground.  Everything is placed in metres
(``x`` to the right, ``y`` up, ``z`` ahead) and painted from far to near, colours and labels with
the same polygons, so that both agree to a pixel.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from segstudio.core.types import Image, LabelMap
from segstudio.scenes.painting import (
    CLASSES,
    PAVEMENT,
    ROAD,
    SKY,
    SUPERSAMPLING,
    Camera,
    Canvas,
    Color,
    pick,
    smooth_noise,
    varied,
)
from segstudio.scenes.props import Props
from segstudio.scenes.traffic import Traffic

__all__ = ["CLASSES", "render_scene"]


def render_scene(seed: int, *, height: int = 360, width: int = 480) -> tuple[Image, LabelMap]:
    """Render one street scene.

    Parameters
    ----------
    seed : int
        Equal seeds and sizes give equal scenes.
    height, width : int
        Size of the picture, at least 32 x 32.

    Returns
    -------
    ndarray of shape (height, width, 3), uint8
        RGB.
    ndarray of shape (height, width), uint8
        CamVid class indices, 255 = ignore.
    """
    generator = np.random.default_rng([seed, 20261121])
    canvas = Canvas(height * SUPERSAMPLING, width * SUPERSAMPLING, generator)
    scale = width * SUPERSAMPLING
    camera = Camera(
        focal=scale * generator.uniform(0.75, 1.05),
        center_x=scale * generator.uniform(0.38, 0.62),
        horizon=height * SUPERSAMPLING * generator.uniform(0.42, 0.55),
        height=generator.uniform(1.2, 1.7),
        roll=generator.normal(0, 0.012),
    )
    Street(canvas, camera).paint()
    return _photograph(canvas, height, width)


class Street:
    """Lays out a street and paints it."""

    def __init__(self, canvas: Canvas, camera: Camera) -> None:
        self.canvas = canvas
        self.camera = camera
        self.random = canvas.random
        self.left = -self.random.uniform(3.0, 6.0)
        self.right = self.random.uniform(2.6, 5.0)
        self.pavement_left = self.random.uniform(2.0, 4.5)
        self.pavement_right = self.random.uniform(2.0, 4.5)
        self.props = Props(canvas, camera)
        self.traffic = Traffic(canvas, camera)

    def paint(self) -> None:
        """Paint ground and sky, then everything that stands, from far to near."""
        self._sky()
        self._ground()
        standing: list[tuple[float, Callable[[], None]]] = []
        for side in (-1, 1):
            standing.extend(self._facades(side))
            standing.extend(self._things(side))
        standing.extend(self._traffic())
        for _, paint in sorted(standing, key=lambda entry: -entry[0]):
            paint()

    # -- ground and sky ---------------------------------------------------------------------

    def _sky(self) -> None:
        canvas = self.canvas
        height, width = canvas.labels.shape
        base = np.array(
            pick(self.random, [(150, 160, 170), (120, 150, 190), (185, 185, 185), (205, 195, 180)])
        )
        rows = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
        canvas.image[:] = base * (0.75 + 0.5 * rows)
        clouds = smooth_noise(self.random, height, width, 90) + 0.5 * smooth_noise(
            self.random, height, width, 35
        )
        canvas.image += (clouds * self.random.uniform(3, 16))[..., None]
        canvas.labels[:] = SKY

    def _strip(self, x0: float, x1: float, color: Color, label: int, z0: float = 0.6) -> None:
        project = self.camera.project
        far = 120.0
        points = [project(x0, 0, z0), project(x0, 0, far), project(x1, 0, far), project(x1, 0, z0)]
        self.canvas.polygon(points, color, label)

    def _ground(self) -> None:
        gray = self.random.uniform(75, 125)
        pavement = varied(self.random, (130, 124, 116))
        self._strip(-60, 60, varied(self.random, (110, 112, 100)), PAVEMENT)
        self._strip(self.left - self.pavement_left, self.left, pavement, PAVEMENT)
        self._strip(self.right, self.right + self.pavement_right, pavement, PAVEMENT)
        self._strip(self.left, self.right, (gray, gray, gray * 1.02), ROAD)
        for edge, width in ((self.left, -0.16), (self.right, 0.16)):
            self._strip(edge, edge + width, (165, 160, 152), PAVEMENT)
        self._markings(gray)

    def _markings(self, gray: float) -> None:
        white = (gray + 85, gray + 85, gray + 82)
        middle = (self.left + self.right) / 2 + self.random.normal(0, 0.3)
        project = self.camera.project
        length, gap = self.random.choice([(2.0, 4.0), (4.0, 2.0), (60.0, 0.1)])
        z = 2.0 + self.random.uniform(0, 3)
        while z < 70:
            z1 = min(z + length, 90)
            corners = [
                (middle - 0.06, z),
                (middle - 0.06, z1),
                (middle + 0.06, z1),
                (middle + 0.06, z),
            ]
            self.canvas.polygon([project(x, 0, d) for x, d in corners], white, None)
            z = z1 + gap
        if self.random.random() < 0.3:
            start = self.random.uniform(5, 14)
            for x in np.arange(self.left + 0.3, self.right - 0.5, 1.1):
                corners = [(x, start), (x, start + 3), (x + 0.55, start + 3), (x + 0.55, start)]
                self.canvas.polygon([project(a, 0, d) for a, d in corners], white, None)
        for edge in (self.left + 0.3, self.right - 0.3):
            if self.random.random() < 0.4:
                yellow = (gray + 70, gray + 55, gray - 10)
                self._strip_line(edge, 0.05, yellow)

    def _strip_line(self, x: float, half: float, color: Color) -> None:
        project = self.camera.project
        corners = [(x - half, 0.8), (x - half, 90), (x + half, 90), (x + half, 0.8)]
        self.canvas.polygon([project(a, 0, d) for a, d in corners], color, None)

    def _edge(self, side: int) -> float:
        """Return where the pavement of a side ends."""
        if side < 0:
            return self.left - self.pavement_left
        return self.right + self.pavement_right

    def _facades(self, side: int) -> list[tuple[float, Callable[[], None]]]:
        parts: list[tuple[float, Callable[[], None]]] = []
        z = self.random.uniform(-6, 2)
        while z < 95:
            length = self.random.uniform(7, 22)
            kind = self.random.random()
            x = self._edge(side) + side * self.random.choice([0.0, 0.0, 1.5, 5.0])
            near, far = max(z, 0.7), z + length
            if far > 1:
                if kind < 0.72:
                    parts.append((far, self.props.building(side, x, near, far)))
                elif kind < 0.9:
                    parts.append((far + 0.1, self.props.building(side, x + side * 14, near, far)))
                    parts.append((far, self.props.trees(side, x, near, far)))
                if kind > 0.55:
                    fence = self._edge(side) + side * self.random.uniform(-0.2, 0.3)
                    parts.append((near + 0.2, self.props.fence(fence, near, far)))
            z = far + self.random.choice([0.0, 0.0, 0.0, 4.0])
        # The end of the street: distant houses and trees close it.
        for _ in range(8):
            parts.append((100.0 + self.random.uniform(0, 20), self.props.distant()))
        return parts

    def _things(self, side: int) -> list[tuple[float, Callable[[], None]]]:
        """Return poles, signs, trees, walkers and bins of one pavement."""
        parts: list[tuple[float, Callable[[], None]]] = []
        kerb = self.left if side < 0 else self.right
        width = self.pavement_left if side < 0 else self.pavement_right
        random = self.random

        def place(fraction: float) -> float:
            return kerb + side * width * fraction

        spacing = random.uniform(9, 16)
        for z in np.arange(random.uniform(4, 10), 75, spacing):
            parts.append((float(z), self.props.lamp(place(0.2), float(z), side)))
        for _ in range(int(random.integers(1, 4))):
            z = float(random.uniform(5, 32))
            parts.append((z, self.props.sign(place(random.uniform(0.1, 0.5)), z)))
        for _ in range(int(random.integers(0, 4))):
            z = float(random.uniform(8, 60))
            parts.append((z, self.props.tree(place(random.uniform(0.8, 1.4)), z)))
        for _ in range(int(random.integers(0, 6))):
            z = float(random.uniform(4.5, 32))
            parts.append((z, self.traffic.walker(place(random.uniform(0.15, 0.9)), z)))
        if random.random() < 0.35:
            z = float(random.uniform(5, 20))
            parts.append((z, self.props.bin(place(0.8), z)))
        if random.random() < 0.75:
            start, count = random.uniform(4, 20), int(random.integers(1, 6))
            for number in range(count):
                z = float(start + number * random.uniform(5.4, 7))
                parts.append((z, self.traffic.car(kerb - side * 1.1, z, parked=True)))
        return parts

    def _traffic(self) -> list[tuple[float, Callable[[], None]]]:
        parts: list[tuple[float, Callable[[], None]]] = []
        random = self.random
        for _ in range(int(random.integers(0, 4))):
            z = float(random.uniform(7, 50))
            x = float(random.uniform(self.left + 1.2, self.right - 1.2))
            parts.append((z, self.traffic.car(x, z, parked=False)))
        for _ in range(int(random.integers(0, 4))):
            z = float(random.uniform(5, 25))
            x = float(random.choice([self.left + 0.9, self.right - 0.9]))
            parts.append((z, self.traffic.cyclist(x, z)))
        return parts


def _photograph(canvas: Canvas, height: int, width: int) -> tuple[Image, LabelMap]:
    """Turn the painted street into a photograph: texture, light, blur, noise, exposure."""
    random = canvas.random
    pixels = canvas.image
    tall, wide = canvas.labels.shape
    grain = smooth_noise(random, tall, wide, 3) * 3.0 + smooth_noise(random, tall, wide, 14) * 4.0
    texture = np.array([0.3, 1.0, 0.6, 0.9, 1.0, 1.6, 0.4, 1.2, 0.5, 0.7, 0.7], np.float32)
    strength = np.where(
        canvas.labels < CLASSES, texture[np.minimum(canvas.labels, CLASSES - 1)], 0.5
    )
    pixels += (grain * strength)[..., None]
    pixels *= (1 + 0.06 * smooth_noise(random, tall, wide, 160))[..., None]
    if random.random() < 0.5:
        rows = np.linspace(0, 1, tall, dtype=np.float32)[:, None, None]
        pixels *= 1 - random.uniform(0, 0.25) * rows
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    labels = np.ascontiguousarray(canvas.labels[::SUPERSAMPLING, ::SUPERSAMPLING])
    small = cv2.GaussianBlur(small, (0, 0), float(random.uniform(0.35, 0.9)))
    exposure, contrast = random.uniform(0.85, 1.3), random.uniform(0.9, 1.2)
    tint = 1 + random.normal(0, 0.03, 3).astype(np.float32)
    mean = float(small.mean())
    small = ((small - mean) * contrast + mean) * exposure * tint
    small += random.normal(0, random.uniform(1.0, 4.0), small.shape).astype(np.float32)
    return np.clip(small, 0, 255).astype(np.uint8), labels
