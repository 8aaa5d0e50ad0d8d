"""Where things go in a room of the world *rooms*, so that nothing overlaps and a camera finds a good view."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from mila.data.worlds.scene import Builder, Place
from mila.tasks import NYUV2

_CLASSES = NYUV2.task("segmentation").classes
BED, BOOKS, CEILING, CHAIR, FLOOR, FURNITURE, OBJECTS, PICTURE, SOFA, TABLE, TV, WALL, WINDOW = (
    _CLASSES.index(name)
    for name in (
        *("bed", "books", "ceiling", "chair", "floor", "furniture", "objects", "picture", "sofa", "table", "tv"),
        *("wall", "window"),
    )
)
_WORTH = {BED: 2.0, BOOKS: 1.4, SOFA: 2.2, TV: 2.5, WINDOW: 1.3, PICTURE: 1.2, TABLE: 0.8, CHAIR: 0.8, FURNITURE: 1.2}
"""How much seeing a class counts when the camera looks for a place to stand."""


@dataclass
class FloorPlan:
    """A room x in 0..width, z in 0..depth that remembers what stands where.

    Attributes:
        b: where the primitives go.
        width, depth, height: of the room, in metres.
        taken: footprints x0, z0, x1, z1 and the height of what stands there.
        hung: wall, interval along it and interval of height of what hangs on or hides a wall.
        seen: class and position (x, z) of what a camera may want to see.
    """

    b: Builder
    width: float
    depth: float
    height: float
    taken: list[tuple[float, float, float, float, float]] = field(default_factory=list)
    hung: list[tuple[int, float, float, float, float]] = field(default_factory=list)
    seen: list[tuple[int, float, float]] = field(default_factory=list)

    # What a camera asks.

    def clearance(self, x: float, z: float, height: float) -> float:
        """Metres from a point to the closest wall or to the closest thing that reaches close to a height."""
        gap = min(x, z, self.width - x, self.depth - z)
        for x0, z0, x1, z1, top in self.taken:
            if top > height - 0.35:
                gap = min(gap, math.hypot(max(x0 - x, 0, x - x1), max(z0 - z, 0, z - z1)))
        return gap

    def sight(self, x: float, z: float, yaw: float) -> float:
        """Metres that the view is free at breast height, the least of three directions."""
        least = 9.0
        tall = [place[:4] for place in self.taken if place[4] > 1.3 - 0.35]  # as `clearance` has it
        for turn in (-0.3, 0.0, 0.3):
            s, c = math.sin(yaw + turn), math.cos(yaw + turn)
            step = 0.3
            while step < least and self._is_open(x + s * step, z + c * step, tall):
                step += 0.3
            least = min(least, step)
        return least

    def _is_open(self, x: float, z: float, tall: list[tuple[float, float, float, float]]) -> bool:
        """Whether a point is in the room and in none of these footprints."""
        if not (0 < x < self.width and 0 < z < self.depth):
            return False
        for x0, z0, x1, z1 in tall:  # noqa: SIM110
            if x0 <= x <= x1 and z0 <= z <= z1:
                return False
        return True

    def variety(self, x: float, z: float, yaw: float) -> float:
        """What the classes in view are worth."""
        found: dict[int, float] = {}
        for label, px, pz in self.seen:
            away = math.hypot(px - x, pz - z)
            angle = abs((math.atan2(px - x, pz - z) - yaw + math.pi) % (2 * math.pi) - math.pi)
            if angle < 0.42 and away > 0.9:
                found[label] = max(found.get(label, 0.0), _WORTH.get(label, 0.0))
        return sum(found.values())

    # Where things go.

    def _fits(self, box: tuple[float, float, float, float]) -> bool:
        x0, z0, x1, z1 = box
        return (x0 >= -1e-6 and z0 >= -1e-6 and x1 <= self.width + 1e-6 and z1 <= self.depth + 1e-6) and not any(
            x0 < u1 and u0 < x1 and z0 < v1 and v0 < z1 for u0, v0, u1, v1, _ in self.taken
        )

    def wall(self, wall: int, along: float, off: float) -> Place:
        """The place `off` metres in front of a wall that faces into the room."""
        if wall == 0:
            return Place(along, off, 0.0)
        if wall == 1:
            return Place(off, along, math.pi / 2)
        if wall == 2:
            return Place(along, self.depth - off, math.pi)
        return Place(self.width - off, along, -math.pi / 2)

    def against(self, w: float, d: float, h: float, label: int) -> Place | None:
        """A free place with its back to a wall, for a thing of a width, depth and height; it is taken."""
        for _ in range(30):
            wall = self.b.rng.randrange(4)
            length = self.width if wall % 2 == 0 else self.depth
            if length < w + 0.1:
                continue
            along = self.b.rng.uniform(w / 2 + 0.03, length - w / 2 - 0.03)
            place = self.wall(wall, along, d / 2 + 0.02)
            half = (w / 2, d / 2) if wall % 2 == 0 else (d / 2, w / 2)
            box = (place.x - half[0], place.z - half[1], place.x + half[0], place.z + half[1])
            if self._fits(box) and self.hang(wall, along - w / 2, along + w / 2, 0.0, h):
                self.taken.append((*box, h))
                self.seen.append((label, place.x, place.z))
                return place
        return None

    def free(self, w: float, d: float, h: float, label: int = OBJECTS, margin: float = 0.12) -> Place | None:
        """A free place anywhere, turned by anything; it is taken."""
        rng = self.b.rng
        for _ in range(20):
            yaw = rng.choice((0.0, math.pi / 2, math.pi, -math.pi / 2)) + rng.gauss(0, 0.12)
            s, c = abs(math.sin(yaw)), abs(math.cos(yaw))
            hx, hz = (c * w + s * d) / 2, (s * w + c * d) / 2
            if 2 * (hx + margin) > self.width or 2 * (hz + margin) > self.depth:
                continue
            x = rng.uniform(hx + margin, self.width - hx - margin)
            z = rng.uniform(hz + margin, self.depth - hz - margin)
            if self._fits((x - hx - margin, z - hz - margin, x + hx + margin, z + hz + margin)):
                self.taken.append((x - hx, z - hz, x + hx, z + hz, h))
                self.seen.append((label, x, z))
                return Place(x, z, yaw)
        return None

    def hang(self, wall: int, u0: float, u1: float, h0: float, h1: float) -> bool:
        """Take a part of a wall if it is free."""
        if any(w == wall and u0 < b and a < u1 and h0 < d and c < h1 for w, a, b, c, d in self.hung):
            return False
        self.hung.append((wall, u0, u1, h0, h1))
        return True

    def on_wall(self, w: float, h: float, low: float, label: int, tries: int = 12) -> Place | None:
        """A free part of a wall: the place of its middle; it is taken."""
        for _ in range(tries):
            wall = self.b.rng.randrange(4)
            length = self.width if wall % 2 == 0 else self.depth
            if length < w + 0.3:
                continue
            along = self.b.rng.uniform(w / 2 + 0.15, length - w / 2 - 0.15)
            if self.hang(wall, along - w / 2 - 0.05, along + w / 2 + 0.05, low, low + h):
                place = self.wall(wall, along, 0.0)
                self.seen.append((label, place.x, place.z))
                return place._replace(height=low + h / 2)
        return None
