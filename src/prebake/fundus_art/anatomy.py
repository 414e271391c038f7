"""Retina, fovea, optic disc and vessels."""

from __future__ import annotations

import numpy as np

from prebake.fundus_art.canvas import DISC, FOVEA, Floats, Generator, Ink, Points, View, noise, rgb

STEP = 0.025  # length of one straight piece of a vessel, eye units


def background(rng: Generator, view: View, colour: Points) -> Floats:
    """Return retina, fovea and optic disc as float32 ``(3, H, W)`` RGB in about 0..1, without vessels."""
    x, y = view.eye(2)
    shape = (x.shape[0], x.shape[1])
    light = 1.06 - rng.uniform(0.2, 0.45) * ((x - rng.normal(0, 0.25)) ** 2 + (y - rng.normal(0, 0.2)) ** 2)
    light *= 1 + 0.03 * noise(rng, shape, 6) + 0.015 * noise(rng, shape, 30) + 0.012 * noise(rng, shape, 80)
    image = light * rgb(*colour)
    streaks = np.abs(noise(rng, shape, 12) + 0.5 * noise(rng, shape, 35)) * np.clip(np.hypot(x + 0.2, y) - 0.3, 0, 1)
    image += max(0.0, rng.normal(0.01, 0.025)) * streaks * rgb(1.0, 0.5, 0.3)
    image *= 1 + 0.05 * noise(rng, shape, 3) * rgb(0.2, 0.8, 1.0)

    away = np.hypot(x - FOVEA[0], y - FOVEA[1])
    depth = rng.uniform(0.22, 0.45)
    dark = depth * np.exp(-((away / rng.uniform(0.16, 0.26)) ** 2)) + 0.45 * depth * np.exp(-((away / 0.055) ** 2))
    image *= 1 - dark * rgb(0.5, 0.8, 0.85)

    dx, dy = (x - DISC[0]) / rng.uniform(0.90, 1.0), (y - DISC[1]) / rng.uniform(1.0, 1.1)
    away, radius = np.hypot(dx, dy), rng.uniform(0.13, 0.16)
    image += rng.uniform(0.05, 0.14) * np.exp(-((away / 0.45) ** 2)) * rgb(0.55, 0.5, 0.3)
    image *= 1 - rng.uniform(0.0, 0.3) * np.exp(-(((away - 1.12 * radius) / (0.1 * radius)) ** 2)) * rgb(0.5, 0.8, 0.8)
    inside = 1 / (1 + np.exp(np.clip((away - radius) / (0.05 * radius), -30, 30)))
    cup = np.exp(-((np.hypot(dx + 0.15 * radius, dy) / (rng.uniform(0.45, 0.65) * radius)) ** 2))
    nerve = 0.75 * rgb(0.98, 0.70, 0.40) + 0.35 * rgb(*colour) + cup * rgb(0.05, 0.20, 0.25)
    image += 0.93 * inside * (nerve * rng.uniform(0.9, 1.02) - image)
    return np.stack([view.enlarge(plane) for plane in image])


def course(rng: Generator, start: Points, heading: float, turn: float, length: float) -> tuple[Points, Points]:
    """Return points ``(N + 1, 2)`` and headings ``(N,)`` of a wavering line that turns by ``turn``, most at first."""
    steps = max(6, round(length / STEP))
    t = np.arange(steps) / (steps - 1)
    sway = np.interp(t, np.arange(6) / 5, rng.normal(0, 0.13, 6))
    sway += rng.uniform(0.05, 0.16) * np.sin(t * length * rng.uniform(12, 26) + rng.uniform(0, 6))
    angles = heading + turn * (1 - (1 - t) ** 1.8) + sway
    points = start + np.cumsum(np.stack([np.cos(angles), np.sin(angles)], axis=-1), axis=0) * (length / steps)
    return np.concatenate([start[None], points]), angles


def grow(rng: Generator, inks: tuple[Ink, Ink], path: tuple[Points, Points], width: float, depth: int) -> None:
    """Draw a vessel and its branches; the second ink takes the light reflex along the middle of the broad ones."""
    points, angles = path
    widths = width * np.linspace(1, 0.4, len(points))
    inks[0].stroke(points, widths)
    if width > 0.013:
        inks[1].stroke(points, widths * 0.28)
    if depth == 0 or width < 0.0045:
        return
    length = len(angles) * STEP
    side = 1 if rng.random() < 0.5 else -1
    for place in np.sort(rng.uniform(0.12, 0.92, 1 + round(length * 2.6))):
        i, side = int(place * len(angles)), -side
        heading = angles[i] + side * rng.uniform(0.4, 0.9)
        reach = length * rng.uniform(0.3, 0.6)
        child = course(rng, points[i], heading, -side * rng.uniform(0.1, 0.8), reach)
        grow(rng, inks, child, float(widths[i]) * rng.uniform(0.4, 0.75), depth - 1)


def vessels(rng: Generator, view: View, image: Floats) -> None:
    """Draw veins and arteries: two arcades round the fovea, two trunks towards the nose, twigs towards the fovea."""
    x, y = view.eye(4)
    away = (x - FOVEA[0]) ** 2 + (y - FOVEA[1]) ** 2
    spared = view.enlarge(np.clip(1.2 * (1 - np.exp(-away / 0.02)), 0, 1))
    reflex = Ink(view)
    for broad, shift, absorbed in ((0.028, 0.09, (0.30, 0.58, 0.50)), (0.020, -0.09, (0.13, 0.43, 0.40))):
        inks = Ink(view), reflex
        for up in (-1, 1):
            root = DISC + np.array([rng.normal(-0.015, 0.02), 0.02 * up + 0.01 * np.sign(shift)])
            lean = rng.normal(0, 0.12) + shift
            grow(rng, inks, course(rng, root, up * (1.75 + lean), up * (1.25 - lean), 1.8), broad, 3)
            nasal = up * (1.0 + rng.normal(0, 0.25) + shift)
            grow(rng, inks, course(rng, root, nasal, -nasal * rng.uniform(0.0, 0.4), 0.7), broad * 0.65, 2)
            twig = np.pi - up * rng.uniform(0.25, 0.6)
            grow(
                rng, inks, course(rng, root, twig, up * rng.uniform(-0.1, 0.4), rng.uniform(0.3, 0.55)), broad * 0.3, 1
            )
        image *= 1 - rng.uniform(0.75, 1.0) * (inks[0].mask(0.0022) * spared) * rgb(*absorbed)
    image += reflex.mask(0.003) * rgb(0.08, 0.05, 0.03)
