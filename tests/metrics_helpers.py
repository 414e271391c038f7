"""Predictions to judge."""

from __future__ import annotations

import numpy as np

from prebake.metrics import Bootstrap, Judged

FEW = Bootstrap(samples=300)


def judged(labels, raw, groups=(), folds=()):
    return Judged(tuple(f"eye {row}" for row in range(len(labels))), labels, raw, tuple(groups), folds)


def some_predictions(n=240, *, eyes=2, noise=0.6, seed=0, digits=1):
    """Raw values with ties, patients of several eyes that resemble each other, five folds."""
    rng = np.random.default_rng(seed)
    patient = np.arange(n) // eyes
    labels = rng.choice(5, patient[-1] + 1, p=[0.4, 0.15, 0.2, 0.15, 0.1])[patient].astype(float)
    labels = np.clip(labels + rng.integers(-1, 2, n), 0, 4)
    raw = np.round(0.8 * labels + 0.3 + rng.normal(0, noise, n), digits)
    return judged(labels, raw, [f"p{number}" for number in patient], patient % 5)


def picks(groups, samples, seed):
    """Rows of each draw of a plain bootstrap of groups."""
    rng = np.random.default_rng(seed)
    names = np.unique(groups)
    rows = [np.flatnonzero(groups == name) for name in names]
    for _ in range(samples):
        yield np.concatenate([rows[number] for number in rng.integers(len(names), size=len(names))])
