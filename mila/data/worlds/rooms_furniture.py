"""Furniture and wall decoration of the world *rooms*."""

from __future__ import annotations

import math

from mila.data.worlds.motions import Motion
from mila.data.worlds.rooms_clutter import Clutter
from mila.data.worlds.rooms_floor_plan import (
    BED,
    BOOKS,
    CHAIR,
    FURNITURE,
    OBJECTS,
    PICTURE,
    SOFA,
    TABLE,
    TV,
    WALL,
    WINDOW,
)
from mila.data.worlds.scene import BOX, CYLINDER, ELLIPSOID, Material, Place


class Furnisher(Clutter):
    """Fills a room."""

    def furnish(self) -> None:
        """Draw what the room holds and place it."""
        rng = self.b.rng
        self._openings()
        chances = (("bed", 0.62), ("sofa", 0.72), ("tv", 0.7), ("wardrobe", 0.75), ("shelf", 0.8), ("cabinet", 0.7))
        large = [
            kind
            for kind, chance in (*chances, ("desk", 0.5), ("shelf", 0.3), ("wardrobe", 0.4))
            if rng.random() < chance
        ]
        for kind in large:
            getattr(self, f"_{kind}")()
        if rng.random() < 0.4:
            self.rug()
        for _ in range(rng.choice((1, 1, 2))):
            self._table()
        for _ in range(rng.choice((0, 1, 1, 2))):
            spot = self.free(0.55, 0.55, 1.0)
            if spot is not None:
                self.chair(spot)
        self._pictures()
        for _ in range(rng.choice((2, 3, 4, 5))):
            spot = self.free(0.4, 0.4, 0.5)
            if spot is not None:
                self.thing(spot, rng.uniform(1.2, 2.6))

    def chair(self, place: Place, *, office: bool = False, motion: Motion | None = None) -> None:
        """A chair with four legs, or an office chair on a post."""
        b, rng = self.b, self.b.rng
        w, h = rng.uniform(0.42, 0.55), rng.uniform(0.42, 0.5)
        seat, frame = b.cloth(0.5), b.plain()
        b.add(BOX, place, (0, h, 0), (w, 0.07, w), CHAIR, seat, motion=motion)
        tall = rng.uniform(0.4, 0.6)
        b.add(BOX, place, (0, h + tall / 2 + 0.05, -w / 2 + 0.03), (w, tall, 0.06), CHAIR, seat, motion=motion)
        if office:
            b.add(CYLINDER, place, (0, h / 2, 0), (0.07, h - 0.06, 0.07), CHAIR, frame, motion=motion)
            b.add(CYLINDER, place, (0, 0.04, 0), (w, 0.06, w), CHAIR, frame, motion=motion, contact=0.5)
            return
        for sx in (-1, 1):
            for sz in (-1, 1):
                at = (sx * (w / 2 - 0.03), h / 2 - 0.02, sz * (w / 2 - 0.03))
                b.add(BOX, place, at, (0.05, h - 0.04, 0.05), CHAIR, frame, motion=motion, contact=0.3)

    def _openings(self) -> None:
        """A door (wall) and windows, some with curtains."""
        b, rng = self.b, self.b.rng
        place = self.on_wall(0.9, 2.05, 0.0, WALL)
        if place is not None:
            border = b.colour()
            panels = b.cloth()._replace(border=0.08, border_colour=border)
            b.add(BOX, place, (0, 0, 0.015), (0.95, 2.05, 0.05), WALL, panels)
            b.add(ELLIPSOID, place, (0.36, -0.02, 0.06), (0.07, 0.07, 0.07), OBJECTS, b.plain())
        for _ in range(rng.choice((1, 1, 2, 2, 3))):
            w, h = rng.uniform(0.9, 1.9), rng.uniform(0.9, 1.4)
            place = self.on_wall(w + 0.3, h, rng.uniform(0.75, 0.95), WINDOW)
            if place is None:
                continue
            sky, frame = b.colour(), b.colour()
            pane = Material(frame, sky, w / 2, h / rng.choice((1, 2, 2)), 0.93, 0.93, kuv=1.0)
            pane = pane._replace(knoise=0.7, noise_u=1.5, noise_v=1.5, border=0.06, border_colour=frame, glow=0.6)
            b.add(BOX, place, (0, 0, 0.02), (w, h, 0.06), WINDOW, pane)
            b.add(BOX, place, (0, -h / 2 - 0.02, 0.07), (w + 0.1, 0.04, 0.14), WINDOW, b.plain(frame))
            if rng.random() < 0.45:
                curtain = b.cloth(0.5)
                for side in (-1, 1):
                    at = (side * (w / 2 + 0.02), 0.0, 0.1)
                    b.add(BOX, place, at, (0.24, h + 0.3, 0.06), WINDOW, curtain)

    def _pictures(self) -> None:
        b, rng = self.b, self.b.rng
        for _ in range(rng.choice((1, 2, 3, 4, 5))):
            w, h = rng.uniform(0.4, 1.2), rng.uniform(0.4, 0.9)
            place = self.on_wall(w, h, rng.uniform(1.15, 1.5), PICTURE)
            if place is not None:
                canvas = b.cloth(0.6)._replace(border=rng.uniform(0.03, 0.07), border_colour=b.colour())
                b.add(BOX, place, (0, 0, 0.01), (w, h, 0.05), PICTURE, canvas._replace(knoise=1.4))

    def _bed(self) -> None:
        b, rng = self.b, self.b.rng
        w, d, h = rng.uniform(1.0, 1.8), rng.uniform(1.9, 2.1), rng.uniform(0.4, 0.55)
        place = self.against(w, d, 1.0, BED)
        if place is None:
            return
        frame, sheet, cover = b.cloth(), b.cloth(), b.cloth()
        b.add(BOX, place, (0, h / 4 + 0.05, 0), (w, h / 2, d), BED, frame, contact=0.5)
        b.add(BOX, place, (0, h * 0.75, 0.02), (w - 0.04, h / 2, d - 0.08), BED, sheet)
        reach = d * rng.uniform(0.5, 0.72)
        b.add(BOX, place, (0, h * 0.72, (d - reach) / 2 + 0.02), (w + 0.04, h / 2 + 0.1, reach), BED, cover)
        b.add(BOX, place, (0, 0.5, -d / 2 + 0.03), (w + 0.08, 1.0, 0.06), BED, frame)
        for side in (-1, 1) if w > 1.3 else (0,):
            at = (side * w / 4, h + 0.08, -d / 2 + 0.3)
            b.add(ELLIPSOID, place, at, (min(0.7, w / 2), 0.22, 0.42), OBJECTS, b.cloth(0.6))

    def _sofa(self) -> None:
        b, rng = self.b, self.b.rng
        w, d = rng.uniform(1.5, 2.3), rng.uniform(0.8, 0.95)
        tall = rng.uniform(0.75, 0.95)
        place = self.against(w, d, 0.9, SOFA)
        if place is None:
            return
        fabric = b.cloth()
        cushion = fabric if rng.random() < 0.6 else b.cloth()
        b.add(BOX, place, (0, 0.17, 0), (w - 0.04, 0.28, d - 0.04), SOFA, fabric, contact=0.5)
        b.add(BOX, place, (0, tall / 2, -d / 2 + 0.11), (w - 0.02, tall - 0.06, 0.22), SOFA, fabric)
        for side in (-1, 1):
            b.add(BOX, place, (side * (w / 2 - 0.09), 0.33, 0), (0.18, 0.6, d), SOFA, fabric)
        count = 2 if w < 1.9 else 3
        wide = (w - 0.38) / count
        for k in range(count):
            at = ((k - (count - 1) / 2) * wide, 0.38, 0.1)
            b.add(BOX, place, at, (wide - 0.02, 0.16, d - 0.24), SOFA, cushion)
        if rng.random() < 0.6:
            at = (rng.choice((-1, 1)) * (w / 2 - 0.42), 0.58, -0.1)
            b.add(ELLIPSOID, place, at, (0.42, 0.38, 0.2), OBJECTS, b.cloth(0.5))

    def _tv(self) -> None:
        """A television on a low cabinet, or on the wall above it."""
        b, rng = self.b, self.b.rng
        w, h, low = rng.uniform(1.2, 1.7), rng.uniform(0.4, 0.6), 0.0
        place = self.against(w, 0.42, 1.6, TV)
        if place is None:
            return
        b.add(BOX, place, (0, h / 2, 0), (w, h, 0.4), FURNITURE, self._front(w, h), contact=0.5)
        tw = rng.uniform(0.85, min(1.4, w))
        th = tw * 0.58
        screen = b.cloth(0.9)._replace(border=0.035, border_colour=b.shade((0.1, 0.1, 0.1), 0.5, 0.95), glow=0.4)
        low = h + (0.08 if rng.random() < 0.65 else 0.35)
        z = -0.02 if low < h + 0.1 else -0.17
        b.add(BOX, place, (0, low + th / 2, z), (tw, th, 0.06), TV, screen)
        if low < h + 0.1:
            b.add(BOX, place, (0, h + 0.04, z), (0.3, 0.08, 0.2), TV, b.plain())

    def _front(self, w: float, h: float) -> Material:
        """Doors or drawers: any pattern, cut into panels."""
        rng = self.b.rng
        base = self.b.cloth()
        if rng.random() < 0.4:
            return base
        columns, rows = rng.choice((1, 2, 3)), rng.choice((1, 2, 3, 4))
        panel = Material(base.second, base.base, w / columns, h / rows, 0.95, 0.93, kuv=1.0, kcell=0.4)
        return panel._replace(knoise=0.5, noise_u=base.noise_u, noise_v=base.noise_v)

    def _cabinet(self) -> None:
        rng = self.b.rng
        w, d = rng.uniform(0.6, 1.5), rng.uniform(0.4, 0.6)
        h = rng.uniform(0.7, 1.1) if rng.random() < 0.6 else rng.uniform(1.7, 2.1)
        place = self.against(w, d, h, FURNITURE)
        if place is not None:
            self.b.add(BOX, place, (0, h / 2, 0), (w, h, d), FURNITURE, self._front(w, h), contact=0.5)
            if h < 1.2:
                self.clutter(place, w, d, h)

    def _wardrobe(self) -> None:
        """A wide, tall cupboard, or base units with wall units above them."""
        b, rng = self.b, self.b.rng
        w, d = rng.uniform(1.2, 2.4), rng.uniform(0.5, 0.62)
        h = rng.uniform(1.9, 2.25)
        place = self.against(w, d, h, FURNITURE)
        if place is None:
            return
        if rng.random() < 0.6:
            b.add(BOX, place, (0, h / 2, 0), (w, h, d), FURNITURE, self._front(w, h), contact=0.5)
            return
        b.add(BOX, place, (0, 0.45, 0), (w, 0.9, d), FURNITURE, self._front(w, 0.9), contact=0.5)
        b.add(BOX, place, (0, h - 0.35, -d / 2 + 0.17), (w, 0.7, 0.34), FURNITURE, self._front(w, 0.7))
        self.clutter(place, w, d, 0.9)

    def _shelf(self) -> None:
        """An open shelf with books and things."""
        b, rng = self.b, self.b.rng
        w, d, levels, step = (
            rng.uniform(0.7, 1.4),
            rng.uniform(0.28, 0.36),
            rng.choice((3, 4, 5)),
            rng.uniform(0.34, 0.42),
        )
        h = levels * step
        place = self.against(w, d, h, BOOKS)
        if place is None:
            return
        wood = b.cloth()
        b.add(BOX, place, (0, h / 2, -d / 2 + 0.01), (w - 0.03, h - 0.01, 0.02), FURNITURE, wood)
        for side in (-1, 1):
            b.add(BOX, place, (side * (w / 2 - 0.015), h / 2, 0), (0.03, h, d), FURNITURE, wood, contact=0.4)
        for level in range(levels + 1):
            height = level * step + 0.015
            b.add(BOX, place, (0, height, 0), (w - 0.05, 0.03, d - 0.01), FURNITURE, wood)
            if level == levels:
                break
            x = -w / 2 + 0.05
            while x < w / 2 - 0.12:
                run = min(rng.uniform(0.12, 0.45), w / 2 - 0.04 - x)
                if rng.random() < 0.75:
                    tall = rng.uniform(0.2, min(0.31, step - 0.05))
                    at = (x + run / 2, height + 0.015 + tall / 2, -0.02)
                    b.add(BOX, place, at, (run, tall, d * 0.75), BOOKS, self.spines())
                elif rng.random() < 0.5:
                    self.thing(place.on(x + run / 2, height + 0.015, 0), 0.7)
                x += run + rng.choice((0.005, 0.01, 0.1))

    def _desk(self) -> None:
        rng = self.b.rng
        w, d = rng.uniform(1.0, 1.5), rng.uniform(0.55, 0.7)
        place = self.against(w, d, 0.76, TABLE)
        if place is not None:
            self._table_at(place, w, d, 0.74)
            if rng.random() < 0.75:
                front = place.on(rng.uniform(-0.2, 0.2), 0, d / 2 + 0.32, math.pi + rng.gauss(0, 0.3))
                self._chair_if_free(front)

    def _table(self) -> None:
        """A dining or coffee table somewhere in the room, with chairs."""
        rng = self.b.rng
        low = rng.random() < 0.35
        w, d = rng.uniform(0.8, 1.5), rng.uniform(0.6, 0.9)
        h = rng.uniform(0.36, 0.46) if low else rng.uniform(0.7, 0.78)
        place = self.free(w, d, h, TABLE)
        if place is None:
            return
        self._table_at(place, w, d, h)
        if not low:
            for x, z, turn in ((0, d / 2 + 0.2, math.pi), (0, -d / 2 - 0.2, 0), (w / 2 + 0.2, 0, -math.pi / 2)):
                if rng.random() < 0.65:
                    self._chair_if_free(place.on(x, 0, z, turn + rng.gauss(0, 0.2)))

    def _chair_if_free(self, place: Place) -> None:
        x0, z0, x1, z1 = place.x - 0.2, place.z - 0.2, place.x + 0.2, place.z + 0.2
        inside = x0 > 0.1 and z0 > 0.1 and x1 < self.width - 0.1 and z1 < self.depth - 0.1
        near = [t for t in self.taken[:-1] if x0 < t[2] and t[0] < x1 and z0 < t[3] and t[1] < z1]
        if inside and not near:
            self.taken.insert(0, (x0, z0, x1, z1, 1.0))
            self.seen.append((CHAIR, place.x, place.z))
            self.chair(place)

    def _table_at(self, place: Place, w: float, d: float, h: float) -> None:
        b, rng = self.b, self.b.rng
        top, leg = b.cloth(), b.plain()
        if rng.random() < 0.2 and abs(w - d) < 0.4:
            b.add(CYLINDER, place, (0, h - 0.02, 0), (w, 0.04, d), TABLE, top)
            b.add(CYLINDER, place, (0, h / 2, 0), (0.1, h - 0.06, 0.1), TABLE, leg, contact=0.4)
            b.add(CYLINDER, place, (0, 0.02, 0), (w / 2, 0.04, d / 2), TABLE, leg, contact=0.4)
            self.clutter(place, w * 0.6, d * 0.6, h)
            return
        b.add(BOX, place, (0, h - 0.025, 0), (w, 0.05, d), TABLE, top)
        for sx in (-1, 1):
            for sz in (-1, 1):
                at = (sx * (w / 2 - 0.05), h / 2 - 0.025, sz * (d / 2 - 0.05))
                b.add(BOX, place, at, (0.06, h - 0.05, 0.06), TABLE, leg, contact=0.4)
        self.clutter(place, w, d, h)
