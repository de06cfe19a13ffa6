"""NAS-Bench-101's pruning, graph hash and widths, transcribed from its paper's code (``model_spec.py``,
``graph_util.py``, ``model_builder.py``; Ying et al., 2019) with matrices and md5.
"""

from __future__ import annotations

import hashlib

import numpy as np


def pruned(matrix: np.ndarray, ops: list[str]) -> tuple[np.ndarray, list[str]] | None:
    """The graph without nodes on no way from the first to the last; None if there is no way. ``ops`` of all nodes."""
    n = len(matrix)
    reaches = np.linalg.matrix_power(np.eye(n, dtype=int) + matrix, n) > 0
    kept = [node for node in range(n) if reaches[0, node] and reaches[node, n - 1]]
    if 0 not in kept or n - 1 not in kept:
        return None
    return matrix[np.ix_(kept, kept)], [ops[node] for node in kept]


def hash_module(matrix: np.ndarray, ops: list[str]) -> str:
    """The hash of a pruned graph; ``ops`` begin with "input" and end with "output"."""
    n = len(matrix)
    labels = [-1, *(sorted(set(ops)).index(op) for op in ops[1:-1]), -2]
    degrees = zip(matrix.sum(axis=1).tolist(), matrix.sum(axis=0).tolist(), labels, strict=True)
    hashes = [_md5(str(triple)) for triple in degrees]
    for _ in range(n):
        hashes = [
            _md5(
                "".join(sorted(hashes[w] for w in range(n) if matrix[w, v]))
                + "|"
                + "".join(sorted(hashes[w] for w in range(n) if matrix[v, w]))
                + "|"
                + hashes[v]
            )
            for v in range(n)
        ]
    return _md5(str(sorted(hashes)))


def vertex_channels(input_channels: int, output_channels: int, matrix: np.ndarray) -> list[int]:
    """Channels of each node of a pruned graph."""
    n = len(matrix)
    channels = [0] * n
    channels[0], channels[-1] = input_channels, output_channels
    if n == 2:
        return channels
    degree = matrix[1:].sum(axis=0)[n - 1]
    interior, correction = output_channels // degree, output_channels % degree
    for v in range(1, n - 1):
        if matrix[v, n - 1]:
            channels[v] = int(interior + (correction > 0))
            correction -= correction > 0
    for v in range(n - 3, 0, -1):
        if not matrix[v, n - 1]:
            channels[v] = max(channels[dst] for dst in range(v + 1, n - 1) if matrix[v, dst])
    return channels


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
