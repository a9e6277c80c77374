"""Seeded data that looks like something: smooth images, moving images, series, tokens, tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int32]

COUNT = 160
"""Samples a builder works with: enough to fit a linear head."""


def _smooth(
    random: np.random.Generator, shape: tuple[int, ...], sides: tuple[int, ...], waves: int
) -> npt.NDArray[np.float64]:
    """Sums of cosine `waves` along each of `sides`: ``shape + sides``, about unit variance.

    Amplitudes fall with the frequency, as they do in photographs.
    """
    field: npt.NDArray[Any] = random.normal(size=shape + (waves,) * len(sides))
    numbers = np.arange(waves)
    distances = np.hypot.reduce(np.meshgrid(*[numbers] * len(sides), indexing="ij"), axis=0)
    field = field / (1 + distances)
    for axis, side in enumerate(sides):
        basis = np.cos(np.pi * numbers[:, None] * (np.arange(side) + 0.5) / side)
        place = len(shape) + axis
        field = np.moveaxis(np.tensordot(field, basis, (place, 0)), -1, place)
    return np.asarray(field / (field.std() + 1e-9))


def images(
    side: int,
    *,
    channels: int = 3,
    classes: int = 10,
    low: float = 0.0,
    high: float = 1.0,
    count: int = COUNT,
    seed: int = 0,
) -> tuple[Floats, Integers]:
    """Images ``(count, side, side, channels)`` in `low`..`high` and their classes ``(count,)``."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count).astype(np.int32)
    waves = min(side, 32)
    templates = _smooth(random, (classes, channels), (side, side), waves)
    own = _smooth(random, (count, channels), (side, side), waves)
    light = random.normal(0.0, 0.5, (count, 1, 1, 1))
    noise = random.normal(0.0, 0.3, own.shape)
    field = np.moveaxis(1.2 * templates[labels] + 0.8 * own + light + noise, 1, -1)
    return (low + (high - low) / (1 + np.exp(-1.5 * field))).astype(np.float32), labels


def volumes(
    steps: int, side: int, *, channels: int = 1, classes: int = 4, seed: int = 0
) -> tuple[Floats, Integers]:
    """Moving images ``(count, steps, side, side, channels)`` in 0..1 and their classes."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, COUNT).astype(np.int32)
    templates = _smooth(random, (classes, channels), (steps, side, side), 6)
    own = _smooth(random, (COUNT, channels), (steps, side, side), 6)
    field = np.moveaxis(1.2 * templates[labels] + 0.8 * own, 1, -1)
    return (1 / (1 + np.exp(-1.5 * field))).astype(np.float32), labels


def series(
    steps: int, features: int, *, classes: int = 4, seed: int = 0
) -> tuple[Floats, Integers]:
    """Series ``(count, steps, features)``: drifting oscillations, frequency told by the class."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, COUNT).astype(np.int32)
    time = np.arange(steps) / steps
    frequency = (1.0 + labels)[:, None, None] * random.uniform(0.8, 1.2, (1, 1, features))
    phase = random.uniform(0, 2 * np.pi, (COUNT, 1, features))
    drift = random.normal(0.0, 1.0, (COUNT, 1, features))
    wave = np.sin(2 * np.pi * frequency * time[None, :, None] + phase)
    level = 0.5 * np.cos(labels[:, None, None] + np.arange(features))
    noise = random.normal(0.0, 0.1, wave.shape)
    return (wave + drift * time[None, :, None] + level + noise).astype(np.float32), labels


def tokens(
    length: int, vocabulary: int, *, classes: int = 4, padded: bool = False, seed: int = 0
) -> tuple[Integers, Integers]:
    """Token ids ``(count, length)`` in 1..vocabulary-1, zeros at the end if `padded`; classes."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, COUNT).astype(np.int32)
    common = np.minimum(random.zipf(1.3, (COUNT, length)), vocabulary - 1)
    own = 1 + (labels[:, None] * 7 + random.integers(0, 7, (COUNT, length))) % (vocabulary - 1)
    ids = np.where(random.random((COUNT, length)) < 0.5, common, own)
    if padded:
        ends = random.integers(length // 3, length + 1, (COUNT, 1))
        ids = np.where(np.arange(length) < ends, ids, 0)
    return ids.astype(np.int32), labels


def table(features: int, *, seed: int = 0) -> tuple[Floats, Floats]:
    """Correlated columns ``(count, features)`` and a smooth function of them ``(count,)``."""
    random = np.random.default_rng(seed)
    factors = random.normal(size=(COUNT, 3))
    columns = factors @ random.normal(size=(3, features))
    columns = columns + random.normal(0.0, 0.3, columns.shape)
    target = np.sin(factors[:, 0]) + 0.5 * factors[:, 1] * factors[:, 2]
    return columns.astype(np.float32), target.astype(np.float32)
