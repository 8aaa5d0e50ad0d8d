"""Small things of the world *rooms*: books, things that stand around, rugs."""

from __future__ import annotations

from mila.data.worlds.rooms_floor_plan import BOOKS, FLOOR, OBJECTS, FloorPlan
from mila.data.worlds.scene import BOX, CYLINDER, ELLIPSOID, Material, Place


class Clutter(FloorPlan):
    """A room with small things."""

    def clutter(self, place: Place, w: float, d: float, h: float) -> None:
        """Books and things on a surface, side by side."""
        b, rng = self.b, self.b.rng
        slots = max(int(w / 0.34), 1)
        for k in range(slots):
            x = (k - (slots - 1) / 2) * w / slots
            spot = place.on(x, h, rng.uniform(-0.3, 0.3) * (d - 0.3), rng.gauss(0, 0.4))
            kind = rng.random()
            if kind < 0.35:
                self.seen.append((BOOKS, spot.x, spot.z))
                for layer in range(rng.choice((1, 2, 3))):
                    size = (rng.uniform(0.19, 0.26), 0.045, rng.uniform(0.24, 0.3))
                    pages = b.plain()._replace(border=0.012, border_colour=b.colour())
                    shift = (rng.gauss(0, 0.01), 0.0225 + layer * 0.045, rng.gauss(0, 0.01))
                    b.add(BOX, spot, shift, size, BOOKS, pages, contact=0.0 if layer else 0.3)
            elif kind < 0.75:
                self.thing(spot, 1.0)

    def thing(self, place: Place, scale: float) -> None:
        """A vase, a ball, a box or a lamp that stands at a place."""
        b, rng = self.b, self.b.rng
        r, h = scale * rng.uniform(0.06, 0.11), scale * rng.uniform(0.12, 0.26)
        kind = rng.random()
        if kind < 0.3:
            b.add(CYLINDER, place, (0, h / 2, 0), (2 * r, h, 2 * r), OBJECTS, b.cloth(0.4), contact=0.4)
        elif kind < 0.5:
            b.add(ELLIPSOID, place, (0, r, 0), (2 * r, 2 * r, 2 * r), OBJECTS, b.cloth(0.4), contact=0.4)
        elif kind < 0.75:
            b.add(BOX, place, (0, h / 2, 0), (2.4 * r, h, 2 * r), OBJECTS, b.cloth(0.4), contact=0.4)
        else:
            b.add(CYLINDER, place, (0, h / 2, 0), (0.5 * r, h, 0.5 * r), OBJECTS, b.plain(), contact=0.3)
            b.add(ELLIPSOID, place, (0, h + r / 2, 0), (2.4 * r, 1.6 * r, 2.4 * r), OBJECTS, b.cloth(0.4))

    def spines(self) -> Material:
        """A row of books that stand side by side."""
        rng, base = self.b.rng, self.b.colour()
        return Material(
            base,
            self.b.colour(),
            rng.uniform(0.03, 0.05),
            3.0,
            0.88,
            1.0,
            ku=0.5,
            kcell=1.8,
            knoise=0.3,
            noise_u=3,
            noise_v=9,
        )

    def rug(self) -> None:
        """A rug in the middle of the room."""
        rng = self.b.rng
        w, d = rng.uniform(1.4, 2.4), rng.uniform(1.0, 1.7)
        place = Place(self.width * rng.uniform(0.4, 0.6), self.depth * rng.uniform(0.4, 0.6), rng.gauss(0, 0.2))
        if w < self.width - 0.5 and d < self.depth - 0.5:
            pile = self.b.cloth()._replace(border=0.06, border_colour=self.b.colour())
            self.b.add(BOX, place, (0, 0.004, 0), (w, 0.008, d), FLOOR, pile)
