"""Ensembles: descriptors of several networks side by side, each network's weight chosen on val."""

from collections.abc import Sequence
from itertools import product

import numpy as np

STEPS = 10  # weights are multiples of a tenth


def joined(members: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """float32 (N, D): descriptors (N, D_m) of each network m, made unit vectors, times √w_m, one behind the other.

    Weights add up to 1: unit vectors come out, and their squared distance is the weighted mean of the members'. So
    widths and spaces of the networks may differ; a mean of their descriptors would have no meaning.
    """
    units = [_unit(member) * np.float32(weight**0.5) for member, weight in zip(members, weights, strict=True)]
    return np.concatenate(units, axis=1)


def best_weights(
    queries: Sequence[np.ndarray], database: Sequence[np.ndarray], positives: Sequence[np.ndarray], n: int
) -> tuple[float, ...]:
    """Weights of the networks, multiples of 1 / STEPS, with the highest recall@n; of several the most even ones.

    Descriptors (Q, D_m) and (N, D_m) of each network m are those of **val**; ``positives`` are right images per query.
    """
    products = np.stack([_unit(q) @ _unit(d).T for q, d in zip(queries, database, strict=True)])  # (M, Q, N)
    right = np.zeros(products.shape[1:], dtype=bool)  # (Q, N)
    for query, images in enumerate(positives):
        right[query, images] = True
    grid = [steps for steps in product(range(STEPS + 1), repeat=len(products)) if sum(steps) == STEPS]
    grid.sort(key=lambda steps: sum(step**2 for step in steps))  # the most even ones first
    best = max(grid, key=lambda steps: _hits(np.tensordot(np.float32(steps), products, 1), right, n))
    return tuple(step / STEPS for step in best)


def _hits(products: np.ndarray, right: np.ndarray, n: int) -> int:
    """How many queries have a right image among their first n, by products (Q, N)."""
    nearest = np.where(right, products, -np.inf).max(axis=1, keepdims=True)  # (Q, 1), of the right ones
    return int((right.any(axis=1) & ((products > nearest).sum(axis=1) < n)).sum())


def _unit(descriptors: np.ndarray) -> np.ndarray:
    return descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True).clip(min=1e-12)
