"""What every space of architectures promises to strategies."""

from __future__ import annotations

import json

import cloudpickle
import numpy as np
import pytest

from kt_ext import nas
from kt_ext.core.space import Space
from kt_ext.nas.draft import Scale
from nas_spaces import SPACES

DRAWS = 30
every_space = pytest.mark.parametrize("word", SPACES)


def drawn(word: str, seed: int = 0, count: int = DRAWS) -> list[nas.Architecture]:
    rng = np.random.default_rng(seed)
    return [SPACES[word][0].random(rng) for _ in range(count)]


def assert_valid(arch: nas.Architecture) -> None:
    space = arch.space
    space.genes.validate(arch.values)
    assert space.is_valid(arch)
    assert space.repair(arch.values) == arch


@every_space
def test_random_architectures_are_valid_and_differ(word):
    archs = drawn(word)
    for arch in archs:
        assert_valid(arch)
    assert len(set(archs)) > DRAWS / 3


@every_space
def test_mutation_changes_one_gene_and_what_hangs_on_it(word):
    space = SPACES[word][0]
    conditional = {gene.conditions[0].parent for gene in space.genes.parameters if gene.conditions}
    for number, arch in enumerate(drawn(word)):
        changed = space.mutate(arch, np.random.default_rng(number))
        assert_valid(changed)
        names = {*arch.values, *changed.values}
        differing = {name for name in names if arch.values.get(name) != changed.values.get(name)}
        assert differing
        if not differing & conditional and not word.startswith(("dag", "nb101")):  # whose repair may change edges
            assert len(differing) == 1


@every_space
def test_neighbours_are_valid_distinct_and_symmetric_in_number(word):
    for arch in drawn(word, count=5):
        near = list(arch.space.neighbours(arch))
        for other in near:
            assert_valid(other)
            assert other != arch
        assert len(set(near)) == len(near)


@every_space
def test_crossover_takes_each_gene_from_a_parent(word):
    space = SPACES[word][0]
    archs = drawn(word)
    mixed = 0
    for number, (first, second) in enumerate(zip(archs[::2], archs[1::2], strict=True)):
        child = space.crossover(first, second, np.random.default_rng(number))
        assert_valid(child)
        if not word.startswith(("dag", "nb101")):  # whose repair may change edges
            shared = {name for name in child.values if name in first.values or name in second.values}
            assert all(child.values[name] in (first.values.get(name), second.values.get(name)) for name in shared)
        mixed += child not in (first, second)
    assert mixed > 3
    same = space.crossover(archs[0], archs[0], np.random.default_rng(0))
    assert same == archs[0]


@every_space
def test_encoding_has_one_length_and_tells_canonical_forms_apart(word):
    archs = drawn(word, count=100)
    space = archs[0].space
    codes = [space.encode(arch) for arch in archs]
    assert {code.shape for code in codes} == {codes[0].shape}
    assert all(np.isfinite(code).all() and code.min() >= 0 and code.max() <= 1 for code in codes)
    keys_of_code: dict[bytes, set] = {}
    for arch, code in zip(archs, codes, strict=True):
        keys_of_code.setdefault(code.tobytes(), set()).add(space.canonical(arch))
    assert all(len(keys) == 1 for keys in keys_of_code.values())


@every_space
def test_equal_architectures_have_equal_canonical_forms_and_costs(word):
    space, input_shape = SPACES[word]
    by_key: dict = {}
    for arch in drawn(word, count=60):
        copy = space.repair(dict(reversed(arch.values.items())))
        assert copy == arch and space.canonical(copy) == space.canonical(arch)
        by_key.setdefault(space.canonical(arch), set()).add(space.params(arch, input_shape))
    if word not in ("edges", "edges on vectors", "nb201"):  # the benchmark's rule leaves out what computes zeros
        assert all(len(params) == 1 for params in by_key.values())


@every_space
def test_text_leads_back(word):
    for arch in drawn(word):
        assert arch.space.from_text(str(arch)) == arch


@every_space
@pytest.mark.parametrize("text", ["", "nonsense", "|conv9x9~0|", "a=1 b", "0101/", "00000009", "conv3x3:x > skip:y"])
def test_other_text_is_refused_with_an_example(word, text):
    space = SPACES[word][0]
    with pytest.raises(ValueError, match="must be the text of one of this space's architectures, like"):
        space.from_text(text)


@every_space
def test_the_same_seed_gives_the_same(word):
    space = SPACES[word][0]
    first, again = drawn(word, seed=3), drawn(word, seed=3)
    assert first == again
    assert [space.mutate(arch, np.random.default_rng(1)) for arch in first] == [
        space.mutate(arch, np.random.default_rng(1)) for arch in again
    ]
    assert list(space.neighbours(first[0])) == list(space.neighbours(again[0]))


@every_space
def test_values_lead_back_through_json(word):
    space = SPACES[word][0]
    for arch in drawn(word):
        values = {**space.values(arch), "learning_rate": 0.1}
        assert space.architecture(json.loads(json.dumps(values))) == arch


@every_space
def test_genes_are_a_search_space_of_the_core(word):
    space = SPACES[word][0]
    assert Space.from_json(json.loads(json.dumps(space.genes.to_json()))) == space.genes
    assert space.size == space.genes.size


@every_space
def test_travels_to_other_processes(word):
    space, input_shape = SPACES[word]
    there = cloudpickle.loads(cloudpickle.dumps(space))
    for arch in drawn(word, count=5):
        same = there.architecture(space.values(arch))
        assert same == arch and there.canonical(same) == space.canonical(arch)
        assert there.params(same, input_shape) == space.params(arch, input_shape)


@every_space
def test_a_smaller_scale_costs_less(word):
    space, input_shape = SPACES[word]
    for arch in drawn(word, count=10):
        full = space.network(arch, input_shape, nas.classifier(3))
        small = space.network(arch, input_shape, nas.classifier(3), Scale(filters=0.5))
        assert small.params < full.params
        assert small.output.shape == full.output.shape == (3,)


@every_space
def test_pictures_name_what_they_show(word):
    for arch in drawn(word, count=10):
        for graph in arch.space.graphs(arch).values():
            assert all(0 <= source < target < len(graph.nodes) for source, target, _ in graph.edges)
            reached = {target for _, target, _ in graph.edges}
            if "edges" not in word and word != "nb201":  # where a node of zeros has no edge
                assert len(reached) >= len(graph.nodes) - 2
