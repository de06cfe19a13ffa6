"""The space of NAS-Bench-201."""

from __future__ import annotations

import csv
import gzip
import os
from pathlib import Path

import pytest

from kt_ext import nas
from kt_ext.nas.network import Network

TEXT = "|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|"


def table(name: str) -> list[dict[str, str]]:
    folder = os.environ.get("KT_EXT_NAS_TABLES")
    if not folder:
        pytest.skip("KT_EXT_NAS_TABLES is not set: it names the folder with nb201.csv.gz and nb_macro.csv.gz")
    with gzip.open(Path(folder) / name, "rt") as file:
        return list(csv.DictReader(file))


def trained(network: Network) -> int:
    """Parameters as the tables count them: without moving means and variances."""
    return sum(layer.params // (2 if layer.kind == "batch_norm" else 1) for layer in network.layers)


def test_text_is_the_benchmarks_own():
    space = nas.nb201()
    arch = space.from_text(TEXT)
    assert str(arch) == TEXT
    assert arch.genes == (
        ("normal/1<-0", "nor_conv_3x3"),
        ("normal/2<-0", "nor_conv_3x3"),
        ("normal/2<-1", "skip_connect"),
        ("normal/3<-0", "avg_pool_3x3"),
        ("normal/3<-1", "none"),
        ("normal/3<-2", "nor_conv_1x1"),
    )
    assert space.size == 15625 and space.encode(arch).shape == (30,)
    assert len(list(space.neighbours(arch))) == 24


@pytest.mark.parametrize(
    "text",
    [
        TEXT[:-1],
        TEXT + "+|none~0|",
        TEXT.replace("~2", "~1"),
        TEXT.replace("none", "nothing"),
        TEXT.replace("|none~1", ""),
        "|skip_connect~x|",
    ],
)
def test_other_text_is_refused(text):
    with pytest.raises(ValueError, match="must be the text of one of this space's architectures"):
        nas.nb201().from_text(text)


def test_canonical_form_knows_zeros_skips_and_order():
    space = nas.nb201()

    def same(first, second):
        return space.canonical(space.from_text(first)) == space.canonical(space.from_text(second))

    a, b, c, skip = "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3", "skip_connect"
    # Node 1 is the input itself.
    assert same(f"|{skip}~0|+|{a}~0|{b}~1|+|none~0|none~1|{c}~2|", f"|{skip}~0|+|{b}~0|{a}~1|+|none~0|none~1|{c}~2|")
    # What comes from zeros is zero.
    assert same(f"|none~0|+|{a}~0|{b}~1|+|none~0|none~1|{c}~2|", f"|none~0|+|{a}~0|none~1|+|none~0|{c}~1|{c}~2|")
    assert not same(f"|{a}~0|+|{a}~0|{b}~1|+|none~0|none~1|{c}~2|", f"|{a}~0|+|{b}~0|{a}~1|+|none~0|none~1|{c}~2|")


def test_stacks_cells_and_filters_can_be_chosen_too():
    space = nas.nb201(stacks=(2, 3), cells_per_stack=(1, 2, 5), filters=(8, 16))
    values = {"stacks": 2, "cells": 1, "filters": 8}
    arch = space.repair({**nas.nb201().from_text(TEXT).values, **values})
    assert str(arch) == f"normal={TEXT} stacks=2 cells=1 filters=8"
    assert space.from_text(str(arch)) == arch
    fixed = nas.nb201(stacks=2, cells_per_stack=1, filters=8)
    assert space.params(arch, (8, 8, 3)) == fixed.params(fixed.from_text(TEXT), (8, 8, 3))


def test_size_and_cost_are_the_tables():
    space, head = nas.nb201(), nas.classifier(10)
    for row in table("nb201.csv.gz")[::31]:
        network = space.network(space.from_text(row["arch"]), (32, 32, 3), head)
        assert (trained(network), network.flops) == (int(row["params"]), int(row["flops"]))


def test_every_text_of_the_table_leads_back():
    space = nas.nb201()
    for row in table("nb201.csv.gz"):
        assert str(space.from_text(row["arch"])) == row["arch"]


def test_macro_size_and_cost_are_the_tables():
    space, head = nas.nb_macro(), nas.classifier(10)
    rows = table("nb_macro.csv.gz")
    for row in rows[::31]:
        network = space.network(space.from_text(row["arch"]), (32, 32, 3), head)
        assert (trained(network), network.flops) == (int(row["params"]), int(row["flops"]))
    measured: dict = {}
    for row in rows:
        measured.setdefault(space.canonical(space.from_text(row["arch"])), set()).add((row["mean_acc"], row["params"]))
    assert len(measured) == 3969
    assert all(len(found) == 1 for found in measured.values())


def test_macro_has_3969_networks():
    space = nas.nb_macro()
    archs = [space.repair(space.genes.enumeration.at(number)) for number in range(space.size)]
    assert len(archs) == 6561 and len({space.canonical(arch) for arch in archs}) == 3969
    assert str(space.from_text("22212220")) == "22212220"
    # An identity moves within a stage behind its first layer, and not out of it.
    first, second, third = (space.canonical(space.from_text(text)) for text in ("01200211", "01020211", "01200121"))
    assert first != third and first != second
    assert space.canonical(space.from_text("01202011")) == space.canonical(space.from_text("01220011"))
