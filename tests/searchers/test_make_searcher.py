"""A searcher by name, or one's own."""

from __future__ import annotations

import pytest

from kt_ext.searchers import (
    EliteSearcher,
    EvolutionSearcher,
    ForestSearcher,
    GPSearcher,
    GridSearcher,
    QuasiRandomSearcher,
    RandomSearcher,
    TPESearcher,
    make_searcher,
)


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("random", RandomSearcher),
        ("quasi_random", QuasiRandomSearcher),
        ("sobol", QuasiRandomSearcher),
        ("halton", QuasiRandomSearcher),
        ("grid", GridSearcher),
        ("tpe", TPESearcher),
        ("gp", GPSearcher),
        ("forest", ForestSearcher),
        ("evolution", EvolutionSearcher),
        ("elites", EliteSearcher),
    ],
)
def test_by_name(name, cls):
    assert type(make_searcher(name, 0)) is cls


def test_the_name_and_the_seed_reach_the_searcher():
    searcher = make_searcher("halton", 5)
    assert isinstance(searcher, QuasiRandomSearcher)
    assert (searcher.sequence, searcher.seed) == ("halton", 5)


def test_an_object_is_returned_as_it_is():
    searcher = RandomSearcher()
    assert make_searcher(searcher, 0) is searcher


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="searcher='sobel': must be one of random, quasi_random, sobol, halton, grid"):
        make_searcher("sobel", 0)


@pytest.mark.parametrize(("given", "kind"), [(RandomSearcher, "ABCMeta"), (3, "int"), (None, "NoneType")])
def test_anything_else_is_refused(given, kind):
    with pytest.raises(TypeError, match=f"of type {kind}: must be a name"):
        make_searcher(given, 0)
