"""A hash of labelled directed graphs that isomorphic ones share (NAS-Bench-101, Ying et al., 2019, section 2.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b


def graph_hash(labels: Sequence[str], edges: Iterable[tuple[int, int, str]]) -> str:
    """Equal for graphs that differ in the order of their vertices alone; of others, with few exceptions, different.

    Each vertex begins with its label and degrees, and takes up its neighbours' hashes as often as there are vertices,
    those before it and those behind it apart.

    Args:
        labels: of the vertices, n of them.
        edges: vertices (from, to), and a label.
    """
    n = len(labels)
    sources: list[list[tuple[int, bytes]]] = [[] for _ in range(n)]
    targets: list[list[tuple[int, bytes]]] = [[] for _ in range(n)]
    for source, target, label in edges:
        sources[target].append((source, label.encode()))
        targets[source].append((target, label.encode()))
    hashes = [_hash(f"{labels[v]} {len(sources[v])} {len(targets[v])}".encode()) for v in range(n)]
    for _ in range(n):
        hashes = [
            _hash(_sorted(hashes, sources[v]) + b"|" + _sorted(hashes, targets[v]) + b"|" + hashes[v]) for v in range(n)
        ]
    return _hash(b"".join(sorted(hashes))).hex()


def _sorted(hashes: list[bytes], neighbours: list[tuple[int, bytes]]) -> bytes:
    return b"".join(sorted([hashes[u] + label for u, label in neighbours]))


def _hash(content: bytes) -> bytes:
    return blake2b(content, digest_size=16).digest()
