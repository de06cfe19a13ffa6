"""Our graphs of NAS-Bench-101 against its own code, transcribed."""

from __future__ import annotations

import numpy as np
import pytest

from kt_ext import nas
from kt_ext.nas.spaces.cell_dag import DagTopology, _widths
from kt_ext.nas.spaces.graph_hash import graph_hash
from reference import nb101_hash

OPS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")


def graph_of(arch: nas.Architecture) -> tuple[np.ndarray, list[str]]:
    """The matrix and the ops of all nodes, before anything is pruned."""
    space = arch.space
    values = space.cell(arch, "normal")
    matrix = np.array([[int(bool(values.get(f"e{i}_{j}"))) for j in range(7)] for i in range(7)])
    return matrix, ["input", *(values[f"op{i}"] for i in range(1, 6)), "output"]


def drawn(seed: int, count: int) -> list[nas.Architecture]:
    space, rng = nas.nb101(), np.random.default_rng(seed)
    return [space.random(rng) for _ in range(count)]


def test_canonical_forms_tell_apart_what_the_hash_tells_apart():
    # Many graphs of few edges, so that equal ones are among them.
    space, rng = nas.nb101(), np.random.default_rng(0)
    few = []
    for _ in range(1500):
        values = {f"normal/e{i}_{j}": bool(rng.random() < 0.25) for i in range(7) for j in range(i + 1, 7)}
        few.append(space.repair({**values, **{f"normal/op{i}": str(rng.choice(OPS)) for i in range(1, 6)}}))
    ours, theirs = [], []
    for arch in few:
        matrix, ops = nb101_hash.pruned(*graph_of(arch))
        ours.append(space.canonical(arch))
        # The label of an op must not depend on which others there are.
        theirs.append((nb101_hash.hash_module(matrix, ops), tuple(sorted(ops))))
    assert len(set(ours)) == len(set(theirs)) == len(set(zip(ours, theirs, strict=True)))
    assert 100 < len(set(ours)) < 1300


@pytest.mark.parametrize("seed", range(50))
def test_isomorphic_graphs_share_a_hash(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 9))
    edges = [(i, j, str(rng.integers(2))) for i in range(n) for j in range(i + 1, n) if rng.random() < 0.5]
    labels = [str(rng.integers(3)) for _ in range(n)]
    order = rng.permutation(n)
    place = np.argsort(order)
    moved = [(int(place[i]), int(place[j]), label) for i, j, label in edges]
    rng.shuffle(moved)
    same = graph_hash([labels[v] for v in order], moved)
    assert same == graph_hash(labels, edges)
    if edges:
        (i, j, label), *rest = edges
        assert graph_hash(labels, rest) != same
        assert graph_hash(labels, [(i, j, label + "x"), *rest]) != same
    labels[0] += "x"
    assert graph_hash(labels, edges) != same


def test_repaired_graphs_are_valid_by_the_paper():
    for arch in drawn(1, 500):
        matrix, _ = nb101_hash.pruned(*graph_of(arch))
        assert matrix.sum() <= 9


def test_what_has_no_way_or_too_many_edges_is_mended():
    topology = DagTopology(nas.nb101().topology.ops, 7)
    ops = {f"op{i}": OPS[0] for i in range(1, 6)}
    pairs = [(i, j) for i in range(7) for j in range(i + 1, 7)]

    def values(edges):
        return {**{f"e{i}_{j}": (i, j) in edges for i, j in pairs}, **ops}

    assert topology.live(topology.repair(values([]))) == [(0, 6)]
    # The input reaches 2, the output is reached from 4: one edge joins the two.
    assert topology.live(topology.repair(values([(0, 2), (4, 6), (1, 3)]))) == [(0, 2), (2, 4), (4, 6)]
    full = topology.repair(values(pairs))
    assert len(topology.live(full)) == 9
    assert topology.repair(full) == full
    # Edges without effect do not count, and stay.
    chain = [(0, 1), (1, 2), (2, 6), (0, 2), (0, 6), (1, 6), (0, 3), (0, 4), (0, 5), (3, 4), (3, 5), (4, 5)]
    assert topology.repair(values(chain)) == values(chain)
    assert len(topology.live(values(chain))) == 6


def test_widths_are_those_of_the_paper():
    for arch in drawn(2, 300):
        matrix, ops = graph_of(arch)
        live = arch.space.topology.live(arch.space.cell(arch, "normal"))
        kept = sorted({node for edge in live for node in edge})
        theirs = nb101_hash.vertex_channels(64, 128, nb101_hash.pruned(matrix, ops)[0])
        ours = _widths(live, 7, 128)
        assert [ours[node] for node in kept[1:]] == theirs[1:]
