"""What diabetic retinopathy leaves behind, by grade."""

from __future__ import annotations

import numpy as np

from prebake.fundus_art.anatomy import course
from prebake.fundus_art.canvas import DISC, FOVEA, Floats, Generator, Ink, Points, View, rgb

BLOOD = rgb(0.42, 0.08, 0.04)
LIPID = rgb(0.97, 0.86, 0.42)
WOOL = rgb(0.93, 0.87, 0.68)
SCAR = rgb(0.80, 0.70, 0.50)
PIGMENT = rgb(0.18, 0.10, 0.06)


def lesions(rng: Generator, view: View, image: Floats, grade: int) -> None:
    """Draw onto ``image``, float32 ``(3, H, W)`` RGB in 0..1, what the grade asks for; nothing for grade 0."""
    if grade == 0:
        return
    _paint(image, _microaneurysms(rng, view, int(rng.integers(6, 13))), BLOOD, 0.85)
    if grade == 1:
        return
    if grade == 4 and rng.random() < 0.55:
        _laser(rng, view, image)
    if grade == 3 or rng.random() < 0.35:
        _paint(image, _wool(rng, view, int(rng.integers(4, 9) if grade == 3 else rng.integers(1, 3))), WOOL, 0.62)
    spots = {2: (5, 13), 3: (30, 50), 4: (10, 30)}[grade]
    _paint(image, _haemorrhages(rng, view, int(rng.integers(*spots))), BLOOD, rng.uniform(0.6, 0.85))
    if rng.random() < 0.8:
        _paint(
            image, _exudates(rng, view, int(rng.integers(1, 4 if grade == 2 else 6))), LIPID, rng.uniform(0.65, 0.95)
        )
    if grade == 4:
        _paint(image, _new_vessels(rng, view), rgb(0.50, 0.09, 0.06), 0.8)
        if rng.random() < 0.6:
            _paint(image, _preretinal(rng, view), BLOOD * 0.8, 0.93)


def _paint(image: Floats, mask: Floats, colour: Floats, opacity: float) -> None:
    """Lay a colour over the picture where the mask is, lit as the picture is there."""
    light = np.clip(image[0] / 0.75, 0.35, 1.25)
    image += (opacity * mask) * (colour * light - image)


def _scatter(rng: Generator, count: int, reach: float = 0.9) -> Points:
    """Return ``(count, 2)`` places on the retina, off the optic disc and the fovea."""
    found = np.empty((0, 2))
    while len(found) < count:
        places = rng.uniform(-reach, reach, (4 * count + 8, 2))
        clear = np.hypot(*places.T) < reach
        clear &= np.hypot(*(places - DISC).T) > 0.22
        clear &= np.hypot(*(places - FOVEA).T) > 0.1
        clear &= np.abs(places[:, 1]) < 0.78
        found = np.concatenate([found, places[clear]])
    return found[:count]


def _microaneurysms(rng: Generator, view: View, count: int) -> Floats:
    ink = Ink(view)
    for at in FOVEA + (_scatter(rng, count) - FOVEA) * 0.8:
        ink.blot(rng, at, rng.uniform(0.008, 0.015))
    return ink.mask(0.002)


def _haemorrhages(rng: Generator, view: View, count: int) -> Floats:
    """Dots and blots of the deep layers, and flames along the nerve fibres, which spread from the optic disc."""
    ink = Ink(view)
    for at in _scatter(rng, count):
        radius = float(np.clip(rng.lognormal(-4.0, 0.4), 0.010, 0.05))
        if rng.random() < 0.25:
            fibre = float(np.arctan2(*(at - DISC)[::-1]))
            ink.blot(rng, at, radius * 0.7, stretch=rng.uniform(2.0, 3.2), angle=fibre, value=220)
        else:
            for _ in range(int(rng.integers(1, 4))):
                ink.blot(
                    rng,
                    at + rng.normal(0, 0.5 * radius, 2),
                    radius * rng.uniform(0.5, 1.0),
                    value=int(rng.integers(190, 256)),
                )
    return ink.mask(0.003)


def _exudates(rng: Generator, view: View, count: int) -> Floats:
    """Clusters of small sharp drops, some of them in a ring."""
    ink = Ink(view)
    for centre in FOVEA + (_scatter(rng, count, 0.8) - FOVEA) * 0.75:
        drops, spread = int(rng.integers(12, 60)), rng.uniform(0.05, 0.15)
        turn = rng.uniform(0, 2 * np.pi, drops)
        far = rng.normal(1.0, 0.18, drops) if rng.random() < 0.35 else np.abs(rng.normal(0, 0.6, drops))
        for at in centre + spread * (far * np.stack([np.cos(turn), 0.8 * np.sin(turn)])).T:
            ink.blot(
                rng,
                at,
                float(np.clip(rng.lognormal(-5.0, 0.45), 0.004, 0.024)),
                stretch=rng.uniform(1, 1.6),
                angle=rng.uniform(0, 3),
            )
    return ink.mask(0.0015)


def _wool(rng: Generator, view: View, count: int) -> Floats:
    """Soft pale patches near the arcades: swollen nerve fibres."""
    ink = Ink(view)
    for at in DISC + (_scatter(rng, count, 0.85) - DISC) * 0.75:
        for _ in range(5):
            ink.blot(
                rng,
                at + rng.normal(0, 0.02, 2),
                rng.uniform(0.014, 0.032),
                stretch=1.3,
                angle=rng.uniform(0, 3),
                value=int(rng.integers(120, 230)),
            )
    return ink.mask(0.010)


def _new_vessels(rng: Generator, view: View) -> Floats:
    """Tangles of fine curling vessels on the optic disc or along the arcades."""
    ink = Ink(view)
    elsewhere = _scatter(rng, int(rng.integers(1, 4)), 0.75)
    roots = [DISC + rng.normal(0, 0.05, 2), *elsewhere] if rng.random() < 0.6 else list(elsewhere)
    for root in roots:
        size = rng.uniform(0.12, 0.26)
        for heading in rng.uniform(0, 2 * np.pi, int(rng.integers(9, 17))):
            points, _ = course(
                rng, root, heading, rng.choice((-1, 1)) * rng.uniform(0.8, 4.5), size * rng.uniform(0.6, 1.5)
            )
            ink.stroke(points + rng.normal(0, 0.004, points.shape), np.full(len(points), rng.uniform(0.0035, 0.0065)))
    return ink.mask(0.001)


def _preretinal(rng: Generator, view: View) -> Floats:
    """Return a boat-shaped bleeding: blood before the retina sinks to a level, so its upper edge is flat."""
    ink = Ink(view)
    at = _scatter(rng, 1, 0.65)[0]
    turn = np.linspace(0, np.pi, 24)
    width, depth = rng.uniform(0.12, 0.3), rng.uniform(0.07, 0.15)
    hull = np.stack([width * np.cos(turn), depth * np.sin(turn) ** 0.8], axis=-1) + at
    ink.shape(hull + rng.normal(0, 0.006, hull.shape))
    return ink.mask(0.006)


def _laser(rng: Generator, view: View, image: Floats) -> None:
    """Rows of round burns outside the arcades, pale and later rimmed with pigment."""
    pale, dark = Ink(view), Ink(view)
    grid = np.stack(np.meshgrid(np.arange(-0.95, 0.96, 0.115), np.arange(-0.95, 0.96, 0.115)), axis=-1).reshape(-1, 2)
    grid = grid + rng.normal(0, 0.022, grid.shape)
    outside = (np.hypot(*(grid - (0.15, 0)).T * np.array([[0.85], [1.0]])) > 0.56) & (np.hypot(*grid.T) < 0.97)
    for at in grid[outside & (rng.random(len(grid)) < 0.85)]:
        radius = rng.uniform(0.020, 0.034)
        pale.blot(rng, at, radius, value=int(rng.integers(120, 230)))
        if rng.random() < 0.5:
            dark.blot(rng, at + rng.normal(0, 0.006, 2), radius * 0.55)
    _paint(image, pale.mask(0.004), SCAR, 0.65)
    _paint(image, dark.mask(0.004), PIGMENT, 0.6)
