"""Local search over mixed and conditional spaces: from a configuration to the best that differs in one parameter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kt_ext.searchers.cube import Cube

# SMAC's neighbours of a number (Hutter, Hoos and Leyton-Brown, 2011, section 4.3): so many, with this deviation.
DRAWS = 4
DEVIATION = 0.2


def neighbours(
    units: np.ndarray, cube: Cube, rng: np.random.Generator, only: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The one-exchange neighbourhood of each row: the configurations that differ from it in one active parameter.

    A number gets four draws from a normal distribution around its unit, with standard deviation 0.2, reflected at the
    bounds; an unordered parameter each of its other values. Parameters that the change activates are drawn, those that
    it deactivates are dropped.

    Args:
        units: settled rows of the cube, shape (n, n_parameters).
        cube: the space.
        rng: the source of randomness.
        only: the place of the one parameter to change; None: each in turn.

    Returns:
        the row that each neighbour is one of, shape (m,), and the neighbours, shape (m, n_parameters).
    """
    origins, changed, places = [], [], []
    for place in range(len(cube.levels)) if only is None else (only,):
        levels = cube.levels[place]
        rows = np.flatnonzero(~np.isnan(units[:, place]))
        if levels is not None and cube.unordered[place]:
            rows, targets = np.repeat(rows, len(levels)), np.tile(levels, len(rows))
        else:
            rows = np.repeat(rows, DRAWS)
            targets = _reflect(units[rows, place] + DEVIATION * rng.standard_normal(len(rows)))
        moved = units[rows]
        moved[:, place] = targets
        origins.append(rows)
        changed.append(moved)
        places.append(np.full(len(rows), place))
    if not origins:
        return np.empty(0, dtype=int), np.empty((0, 0))
    origin, changed_place = np.concatenate(origins), np.concatenate(places)
    settled = cube.settle(np.concatenate(changed), rng)
    # A draw may be nearest to the value that it started from.
    differs = settled[np.arange(len(settled)), changed_place] != units[origin, changed_place]
    return origin[differs], settled[differs]


def climb(
    starts: np.ndarray, score: Callable[[np.ndarray], np.ndarray], cube: Cube, rng: np.random.Generator, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Moves each row to its best neighbour as long as that scores higher.

    Args:
        starts: settled rows of the cube, shape (n, n_parameters).
        score: of rows of shape (m, n_parameters) the scores, shape (m,); higher is better.
        cube: the space.
        rng: the source of randomness.
        steps: how many moves a row makes at most.

    Returns:
        every configuration that was scored on the way, the starts included, and their scores, best first.
    """
    units, scores = starts.copy(), score(starts)
    seen, seen_scores = [units.copy()], [scores.copy()]
    climbing = np.arange(len(units))
    for _ in range(steps):
        origin, near = neighbours(units[climbing], cube, rng)
        if not len(near):
            break
        near_scores = score(near)
        seen.append(near)
        seen_scores.append(near_scores)
        better = []
        order = np.lexsort((-near_scores, origin))  # by origin, the best neighbour first
        first = order[np.unique(origin[order], return_index=True)[1]]
        for neighbour in first:
            row = climbing[origin[neighbour]]
            if near_scores[neighbour] > scores[row]:
                units[row], scores[row] = near[neighbour], near_scores[neighbour]
                better.append(row)
        climbing = np.array(better, dtype=int)
        if not better:
            break
    everything, all_scores = np.concatenate(seen), np.concatenate(seen_scores)
    best_first = np.argsort(-all_scores, kind="stable")
    return everything[best_first], all_scores[best_first]


def _reflect(units: np.ndarray) -> np.ndarray:
    """Into [0, 1], as if the ends were mirrors."""
    units = np.abs(units) % 2.0
    return np.where(units > 1.0, 2.0 - units, units)
