"""A hash of labelled directed graphs that isomorphic ones share (NAS-Bench-101, Ying et al., 2019, section 2.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b


def graph_hash(labels: Sequence[str], edges: Iterable[tuple[int, int]]) -> str:
    """Equal for graphs that differ in the order of their vertices alone; of others, with few exceptions, different.

    Each vertex begins with its label and degrees, and takes up its neighbours' hashes as often as there are vertices,
    those before it and those behind it apart.

    Args:
        labels: of the vertices, n of them.
        edges: pairs (from, to) of vertices.
    """
    n = len(labels)
    sources: list[list[int]] = [[] for _ in range(n)]
    targets: list[list[int]] = [[] for _ in range(n)]
    for source, target in edges:
        sources[target].append(source)
        targets[source].append(target)
    hashes = [_hash(f"{labels[v]} {len(sources[v])} {len(targets[v])}".encode()) for v in range(n)]
    for _ in range(n):
        hashes = [
            _hash(
                b"".join(sorted([hashes[u] for u in sources[v]]))
                + b"|"
                + b"".join(sorted([hashes[u] for u in targets[v]]))
                + b"|"
                + hashes[v]
            )
            for v in range(n)
        ]
    return _hash(b"".join(sorted(hashes))).hex()


def _hash(content: bytes) -> bytes:
    return blake2b(content, digest_size=16).digest()
