"""Our canonical form and our counts of NAS-Bench-201 against its own rule and its paper's figures."""

from __future__ import annotations

from kt_ext import nas
from reference import nb201_unique

HEAD = nas.classifier(10)


def every_arch() -> list[nas.Architecture]:
    space = nas.nb201()
    return [space.repair(space.genes.enumeration.at(number)) for number in range(space.size)]


def test_the_15625_cells_are_6466_classes_and_the_same_as_the_paper():
    archs = every_arch()
    theirs = [nb201_unique.unique(str(arch), consider_zero=True) for arch in archs]
    ours = [arch.space.canonical(arch) for arch in archs]
    assert len(archs) == 15625
    assert len(set(ours)) == len(set(theirs)) == len(set(zip(ours, theirs, strict=True))) == 6466
    assert len({nb201_unique.unique(str(arch), consider_zero=False) for arch in archs}) == 12751


def trained(arch: nas.Architecture) -> int:
    """What the benchmark counts: of the four vectors of a batch normalization two."""
    layers = arch.space.network(arch, (32, 32, 3), HEAD).layers
    return sum(layer.params // (2 if layer.kind == "batch_norm" else 1) for layer in layers)


def test_params_are_those_of_the_formula():
    for arch in every_arch()[::75]:
        assert trained(arch) == nb201_unique.trainable_params(str(arch))


def test_the_largest_one_has_the_published_size():
    conv = "nor_conv_3x3"
    text = f"|{conv}~0|+|{conv}~0|{conv}~1|+|{conv}~0|{conv}~1|{conv}~2|"
    assert nb201_unique.trainable_params(text) == trained(nas.nb201().from_text(text)) == 1_531_546
