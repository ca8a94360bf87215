"""Things of a street that stand still: houses, trees, fences, lamps, signs, bins.

Every method chooses a thing's looks at once and returns a function that paints it, so that the
street can paint from far to near.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from segstudio.core.types import IGNORE_INDEX
from segstudio.scenes.painting import (
    BUILDING,
    FENCE,
    POLE,
    SIGN,
    TREE,
    Camera,
    Canvas,
    Color,
    Point,
    pick,
    varied,
)

__all__ = ["Paint", "Props"]

Paint = Callable[[], None]


class Props:
    """Makes the things that stand still."""

    def __init__(self, canvas: Canvas, camera: Camera) -> None:
        self.canvas = canvas
        self.camera = camera
        self.random = canvas.random
        self.light = self.random.uniform(0.75, 1.15)

    def building(self, side: int, x: float, near: float, far: float) -> Paint:
        """Return a house front along the street, ``side`` -1 left or 1 right, from near to far."""
        palette: list[Color] = [
            (120, 82, 66),
            (150, 128, 102),
            (168, 158, 140),
            (98, 92, 88),
            (138, 108, 86),
            (186, 176, 158),
        ]
        color = varied(self.random, pick(self.random, palette), 12)
        lit = self.light * (0.72 if side < 0 else 0.9)
        wall = (color[0] * lit, color[1] * lit, color[2] * lit)
        floors = int(self.random.integers(2, 6))
        storey = self.random.uniform(2.8, 3.5)
        top = floors * storey + self.random.uniform(0.5, 1.5)
        pitch = self.random.uniform(1.7, 3.6)
        glass = varied(self.random, (58, 64, 72), 10)
        frame = varied(self.random, (178, 174, 166), 14)
        roof = varied(self.random, (84, 72, 68), 10)
        depth = self.random.uniform(5, 10)
        shop = self.random.random() < 0.4

        def paint() -> None:
            project, canvas = self.camera.project, self.canvas
            back = x + side * depth
            end = [(x, 0), (back, 0), (back, top + 1.4), (x + side * 1.2, top + 1.4), (x, top)]
            shade = (wall[0] * 0.72, wall[1] * 0.72, wall[2] * 0.72)
            canvas.polygon([project(a, b, near) for a, b in end], shade, BUILDING)
            face = [(near, 0), (far, 0), (far, top), (near, top)]
            canvas.polygon([project(x, y, z) for z, y in face], wall, BUILDING)
            ridge = [(near, top), (far, top), (far, top + 1.4), (near, top + 1.4)]
            points = [project(x + side * (1.2 if y > top else 0), y, z) for z, y in ridge]
            canvas.polygon(points, roof, BUILDING)
            for floor in range(floors):
                low = floor * storey + (0.4 if floor == 0 and shop else 1.0)
                high = floor * storey + storey - 0.6
                tone = (
                    glass if not (floor == 0 and shop) else (glass[0] + 30, glass[1] + 26, glass[2])
                )
                z = near + 0.6
                while z + pitch * 0.5 < far:
                    for grow, hue in ((0.12, frame), (0.0, tone)):
                        box = [
                            (z - grow, low - grow),
                            (z + pitch * 0.45 + grow, low - grow),
                            (z + pitch * 0.45 + grow, high + grow),
                            (z - grow, high + grow),
                        ]
                        canvas.polygon([project(x, y, d) for d, y in box], hue, BUILDING)
                    z += pitch

        return paint

    def distant(self) -> Paint:
        """Return a tree or a house far away, where the street ends."""
        x = self.random.uniform(-45, 45)
        is_tree = self.random.random() < 0.55
        size = self.random.uniform(5, 11)
        color = varied(self.random, (92, 98, 84) if is_tree else (128, 122, 116), 10)

        def paint() -> None:
            project = self.camera.project
            if is_tree:
                self._crown(
                    project(x, size * 0.55, 110), self.camera.pixels(size * 0.5, 110), color
                )
            box = [(x - size, 0), (x + size, 0), (x + size, size * 0.8), (x - size, size * 0.8)]
            if not is_tree:
                self.canvas.polygon([project(a, b, 110) for a, b in box], color, BUILDING)

        return paint

    def _crown(self, center: Point, radius: float, color: Color) -> None:
        """Paint leaves: many small ellipses, denser in the middle."""
        count = int(np.clip(radius * 1.2, 12, 130))
        for _ in range(count):
            angle, reach = self.random.uniform(0, 2 * math.pi), math.sqrt(self.random.random())
            at = (
                center[0] + math.cos(angle) * reach * radius,
                center[1] + math.sin(angle) * reach * radius * 0.85,
            )
            size = radius * self.random.uniform(0.1, 0.3)
            tone = self.random.uniform(0.6, 1.25) * (1.05 - 0.3 * math.sin(angle) * reach)
            leaf = (color[0] * tone, color[1] * tone, color[2] * tone)
            self.canvas.ellipse(
                at, (size, size * 0.7), leaf, TREE, angle=self.random.uniform(0, 180)
            )

    def trees(self, side: int, x: float, near: float, far: float) -> Paint:
        """Return a row of trees, the farthest painted first."""
        places = np.arange(far - 1, near, -self.random.uniform(3, 6))

        def paint() -> None:
            for z in places:
                if z > 3:
                    self.tree(x, float(z))()

        return paint

    def tree(self, x: float, z: float) -> Paint:
        """Return one tree."""
        green = pick(self.random, [(72, 84, 46), (88, 92, 52), (96, 84, 58), (60, 70, 44)])
        color = varied(self.random, green, 8)
        trunk, crown = self.random.uniform(1.4, 3.0), self.random.uniform(1.5, 3.4)

        def paint() -> None:
            project, pixels = self.camera.project, self.camera.pixels
            bark = varied(self.random, (66, 58, 48), 6)
            self.canvas.rod(
                project(x, 0, z), project(x, trunk + crown * 0.6, z), pixels(0.35, z), bark, TREE
            )
            self._crown(project(x, trunk + crown * 0.8, z), pixels(crown, z), color)

        return paint

    def fence(self, x: float, near: float, far: float) -> Paint:
        """Return a fence along the street, solid or of bars."""
        height = self.random.uniform(0.9, 1.8)
        solid = self.random.random() < 0.5
        color = varied(
            self.random, pick(self.random, [(88, 72, 56), (60, 62, 64), (120, 112, 100)]), 10
        )

        def paint() -> None:
            project, canvas = self.camera.project, self.canvas
            box = [(near, 0), (far, 0), (far, height), (near, height)]
            back = (
                color if solid else (color[0] * 0.8 + 20, color[1] * 0.8 + 22, color[2] * 0.8 + 20)
            )
            canvas.polygon([project(x, y, z) for z, y in box], back, FENCE)
            dark = (color[0] * 0.6, color[1] * 0.6, color[2] * 0.6)
            for z in np.arange(near, far, 0.5 if not solid else 1.8):
                canvas.rod(
                    project(x, 0, z),
                    project(x, height, z),
                    self.camera.pixels(0.04, z),
                    dark,
                    FENCE,
                )

        return paint

    def lamp(self, x: float, z: float, side: int) -> Paint:
        """Return a lamp post, with an arm over the street or without."""
        height, arm = self.random.uniform(5, 9), self.random.uniform(0, 1.8)
        color = varied(self.random, (92, 94, 92), 14)

        def paint() -> None:
            project = self.camera.project
            thick = self.camera.pixels(0.13, z)
            self.canvas.rod(project(x, 0, z), project(x, height, z), thick, color, POLE)
            if arm > 0.4:
                tip = project(x - side * arm, height + 0.2, z)
                self.canvas.rod(project(x, height, z), tip, thick * 0.7, color, POLE)

        return paint

    def sign(self, x: float, z: float) -> Paint:
        """Return a traffic sign or a traffic light on its pole."""
        kind = int(self.random.integers(4))
        height, size = self.random.uniform(2.2, 3.0), self.random.uniform(0.3, 0.45)
        pole = varied(self.random, (110, 110, 108), 12)

        def paint() -> None:
            project, pixels, canvas = self.camera.project, self.camera.pixels, self.canvas
            canvas.rod(project(x, 0, z), project(x, height, z), pixels(0.09, z), pole, POLE)
            center, edge = project(x, height, z), pixels(size, z)
            u, v = center
            red, white = (168, 52, 46), (205, 203, 198)
            if kind == 0:
                canvas.ellipse(center, (edge, edge), red, SIGN)
                canvas.ellipse(center, (edge * 0.7, edge * 0.7), white, SIGN)
            elif kind == 1:
                for part, color in ((1.0, red), (0.6, white)):
                    corners = [(u, v - edge * part), (u + edge * part, v + edge * 0.8 * part)]
                    canvas.polygon(
                        [*corners, (u - edge * part, v + edge * 0.8 * part)], color, SIGN
                    )
            elif kind == 2:
                blue = (48, 84, 140) if self.random.random() < 0.6 else (40, 110, 70)
                box = [(-1.3, -0.8), (1.3, -0.8), (1.3, 0.8), (-1.3, 0.8)]
                canvas.polygon([(u + a * edge, v + b * edge) for a, b in box], blue, SIGN)
            else:
                box = [(-0.55, -1.6), (0.55, -1.6), (0.55, 1.2), (-0.55, 1.2)]
                canvas.polygon([(u + a * edge, v + b * edge) for a, b in box], (34, 34, 34), SIGN)
                lit = int(self.random.integers(3))
                lamps: list[Color] = [(210, 60, 40), (220, 160, 50), (70, 190, 110)]
                for number, glow in enumerate(lamps):
                    tone = glow if number == lit else (glow[0] * 0.3, glow[1] * 0.3, glow[2] * 0.3)
                    spot = (u, v + edge * (-1.05 + 0.85 * number))
                    canvas.ellipse(spot, (edge * 0.32, edge * 0.32), tone, SIGN)

        return paint

    def bin(self, x: float, z: float) -> Paint:
        """Return a litter bin, which is none of the classes."""
        color = varied(self.random, (52, 62, 54), 12)

        def paint() -> None:
            project = self.camera.project
            box = [(x - 0.3, 0), (x + 0.3, 0), (x + 0.3, 1.1), (x - 0.3, 1.1)]
            self.canvas.polygon([project(a, b, z) for a, b in box], color, IGNORE_INDEX)

        return paint
