"""People, cyclists and cars of a street; see `segstudio.scenes.props` for how they are painted."""

from __future__ import annotations

from collections.abc import Callable

from segstudio.scenes.painting import (
    BICYCLIST,
    CAR,
    PEDESTRIAN,
    Camera,
    Canvas,
    Color,
    pick,
    varied,
)

__all__ = ["Traffic"]

Paint = Callable[[], None]


class Traffic:
    """Makes the things that move."""

    def __init__(self, canvas: Canvas, camera: Camera) -> None:
        self.canvas = canvas
        self.camera = camera
        self.random = canvas.random

    def _shadow(self, x: float, z: float, half: float, depth: float) -> None:
        project = self.camera.project
        corners = [
            (x - half, z - depth),
            (x + half, z - depth),
            (x + half, z + depth),
            (x - half, z + depth),
        ]
        self.canvas.shade([project(a, 0, d) for a, d in corners], 0.62)

    def _figure(
        self, x: float, z: float, base: float, size: float, label: int, lean: float
    ) -> None:
        """Paint a person whose feet are ``base`` metres above the ground."""
        project, pixels, canvas, random = (
            self.camera.project,
            self.camera.pixels,
            self.canvas,
            self.random,
        )
        coat = varied(
            random,
            pick(
                self.random,
                [(48, 50, 58), (120, 60, 52), (74, 82, 104), (150, 146, 138), (40, 40, 40)],
            ),
            14,
        )
        trousers = varied(random, pick(self.random, [(44, 48, 62), (60, 56, 52), (34, 34, 38)]), 8)
        skin = varied(random, (176, 138, 116), 16)
        stride = random.uniform(0.05, 0.28) * size
        hip, neck = base + 0.48 * size, base + 0.84 * size
        for foot in (-stride, stride):
            canvas.rod(
                project(x + foot, base, z),
                project(x, hip, z),
                pixels(0.15 * size / 1.7, z),
                trousers,
                label,
            )
        wide = 0.13 * size
        body = [
            (x - wide * 0.8, hip - 0.05),
            (x + wide * 0.8, hip - 0.05),
            (x + wide + lean, neck),
            (x - wide + lean, neck),
        ]
        canvas.polygon([project(a, b, z) for a, b in body], coat, label)
        for arm in (-1, 1):
            canvas.rod(
                project(x + lean + arm * wide, neck - 0.03, z),
                project(x + arm * wide * 1.5 + lean * 1.5, hip, z),
                pixels(0.09 * size / 1.7, z),
                coat,
                label,
            )
        head = pixels(0.075 * size, z)
        canvas.ellipse(project(x + lean, base + 0.92 * size, z), (head * 0.85, head), skin, label)

    def walker(self, x: float, z: float) -> Paint:
        """Return a pedestrian."""
        size = self.random.uniform(1.5, 1.85)

        def paint() -> None:
            self._shadow(x, z, 0.3, 0.15)
            self._figure(x, z, 0, size, PEDESTRIAN, 0)

        return paint

    def cyclist(self, x: float, z: float) -> Paint:
        """Return a cyclist on a bicycle."""

        def paint() -> None:
            project, pixels, canvas = self.camera.project, self.camera.pixels, self.canvas
            self._shadow(x, z, 0.4, 0.3)
            metal = varied(self.random, (52, 52, 56), 10)
            turn = self.random.uniform(-0.5, 0.5)
            wheel = pixels(0.34, z)
            for shift in (-turn, turn):
                hub = project(x + shift, 0.34, z)
                canvas.ellipse(hub, (max(wheel * abs(turn), wheel * 0.2), wheel), metal, BICYCLIST)
            canvas.rod(
                project(x - turn, 0.34, z),
                project(x + turn, 0.9, z),
                pixels(0.08, z),
                metal,
                BICYCLIST,
            )
            self._figure(x, z, 0.42, 1.4, BICYCLIST, turn * 0.3)

        return paint

    def car(self, x: float, z: float, *, parked: bool) -> Paint:
        """Return a car, seen from behind or from the front."""
        random = self.random
        paints: list[Color] = [
            (52, 56, 64),
            (150, 150, 152),
            (120, 38, 34),
            (36, 52, 86),
            (188, 188, 184),
            (28, 28, 30),
            (62, 78, 70),
        ]
        color = varied(random, pick(self.random, paints), 10)
        width, height = random.uniform(1.65, 1.9), random.uniform(1.38, 1.8)
        length = random.uniform(3.6, 4.6)
        front = random.random() < (0.5 if not parked else 0.4)

        def paint() -> None:
            self._car_body(x, z, width, height, length, color, front=front)

        return paint

    def _car_body(
        self,
        x: float,
        z: float,
        width: float,
        height: float,
        length: float,
        color: Color,
        *,
        front: bool,
    ) -> None:
        project, canvas = self.camera.project, self.canvas
        half, waist = width / 2, height * 0.56
        glass = (46.0, 52.0, 58.0)
        self._shadow(x, z + length / 2, half * 1.25, length * 0.55)
        seen = -1 if x > 0 else 1  # the flank that faces the camera
        flank = x + seen * half
        side = (color[0] * 0.8, color[1] * 0.8, color[2] * 0.8)
        profile = [
            (0.0, 0.22),
            (length, 0.22),
            (length, waist),
            (length * 0.82, height),
            (length * 0.22, height),
            (0.0, waist),
        ]
        canvas.polygon([project(flank, y, z + d) for d, y in profile], side, CAR)
        window = [
            (length * 0.06, waist),
            (length * 0.92, waist),
            (length * 0.8, height - 0.1),
            (length * 0.24, height - 0.1),
        ]
        canvas.polygon([project(flank, y, z + d) for d, y in window], glass, CAR)
        for d in (length * 0.2, length * 0.8):
            hub = project(flank, 0.31, z + d)
            radius = self.camera.pixels(0.31, z + d)
            canvas.ellipse(hub, (radius * 0.55, radius), (30, 30, 32), CAR)
        shell = [
            (-half, 0.25),
            (half, 0.25),
            (half, waist),
            (half * 0.84, height),
            (-half * 0.84, height),
            (-half, waist),
        ]
        canvas.polygon([project(x + a, y, z) for a, y in shell], color, CAR)
        pane = [
            (-half * 0.86, waist + 0.02),
            (half * 0.86, waist + 0.02),
            (half * 0.74, height - 0.1),
            (-half * 0.74, height - 0.1),
        ]
        canvas.polygon([project(x + a, y, z) for a, y in pane], glass, CAR)
        for end in (-1, 1):
            wheel = [
                (end * half * 0.95, 0),
                (end * half * 0.6, 0),
                (end * half * 0.6, 0.3),
                (end * half * 0.95, 0.3),
            ]
            canvas.polygon([project(x + a, y, z) for a, y in wheel], (24, 24, 26), CAR)
            lamp = (225.0, 222.0, 205.0) if front else (165.0, 36.0, 30.0)
            box = [
                (end * half * 0.94, 0.62),
                (end * half * 0.62, 0.62),
                (end * half * 0.62, 0.8),
                (end * half * 0.94, 0.8),
            ]
            canvas.polygon([project(x + a, y, z) for a, y in box], lamp, CAR)
        plate = [(-0.26, 0.42), (0.26, 0.42), (0.26, 0.54), (-0.26, 0.54)]
        tone = (205.0, 204.0, 198.0) if front else (200.0, 180.0, 70.0)
        canvas.polygon([project(x + a, y, z) for a, y in plate], tone, CAR)
