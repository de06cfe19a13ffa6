"""Pictures: what is drawn where, that nothing covers anything else, and the files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras_tuner
import numpy as np
import pytest

from kt_ext.core.space import Parameter
from kt_ext.nas.draft import Draft
from kt_ext.nas.records import Records
from kt_ext.nas.space import AbstractArchitectureSpace, Architecture, Graph
from kt_ext.nas.spaces.cell import CellSpace
from kt_ext.nas.spaces.presets import nb201
from kt_ext.nas.strategies.evolution import Evolution
from kt_ext.nas.strategy import Proposal
from kt_ext.plots.ancestry import plot_population, population
from kt_ext.plots.gallery import gallery
from kt_ext.reports.architecture import PLAIN, plot_architecture
from kt_ext.reports.layout import lay_out
from kt_ext.reports.record import read
from oracles.oracle_driving import placed

pytest.importorskip("matplotlib")

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch


class Given(AbstractArchitectureSpace):
    """A space of one architecture, drawn as it is told."""

    def __init__(self, **graphs: Graph) -> None:
        super().__init__()
        self.given = graphs

    def parameters(self) -> list[Parameter]:
        return []

    def lay(self, arch: Architecture, net: Draft) -> str:
        x = net.conv(net.input, 4)
        with net.scope("block", block="conv3x3"):
            y = net.batch_norm(net.conv(x, 4))
        return net.add([x, y])

    def graphs(self, arch: Architecture) -> dict[str, Graph]:
        return self.given or super().graphs(arch)


def drawn(**graphs: Graph) -> Any:
    return plot_architecture(Architecture(Given(**graphs), ()))


def chain(n: int) -> Graph:
    return Graph(tuple(f"conv3x3 {i}" for i in range(n)), tuple((i, i + 1, "") for i in range(n - 1)))


def of_type(axes: Any, kind: type) -> list[Any]:
    return [patch for patch in axes.patches if type(patch) is kind]


def test_layers_and_lanes_of_a_complete_graph() -> None:
    edges = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]
    layout = lay_out(4, edges)
    assert layout.layers == (0, 1, 2, 3)
    assert layout.lanes == (0, 0, 0, 0)
    assert layout.tracks == (0, 1, 0, -1, 1, 0)
    assert layout.extent(0, 3, edges) == (-1, 1)
    assert layout.extent(2, 3, edges) == (-1, 1)
    assert layout.extent(3, 3, edges) == (0, 0)


@pytest.mark.parametrize("seed", range(50))
def test_no_two_things_share_a_lane_of_a_layer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 12))
    edges = [(i, j) for j in range(n) for i in range(j) if rng.random() < 0.4]
    layout = lay_out(n, edges)
    places = list(zip(layout.layers, layout.lanes, strict=True))
    for (source, target), track in zip(edges, layout.tracks, strict=True):
        assert layout.layers[source] < layout.layers[target]
        places += [(layer, track) for layer in range(layout.layers[source] + 1, layout.layers[target])]
    assert len(set(places)) == len(places)


def test_a_box_for_each_node_and_an_arrow_for_each_edge() -> None:
    first = Graph(("input", "conv3x3", "skip", "output"), ((0, 1, ""), (1, 3, ""), (0, 2, ""), (2, 3, ""), (0, 3, "")))
    figure = drawn(normal=first, reduce=Graph(("input", "output"), ((0, 1, "sep3x3"), (0, 1, "skip"))))
    one, two = figure.axes
    assert [axes.get_title("left") for axes in figure.axes] == ["normal", "reduce"]
    assert (len(of_type(one, FancyBboxPatch)), len(of_type(one, FancyArrowPatch))) == (4, 5)
    assert [text.get_text() for text in one.texts] == ["input", "conv3x3", "skip", "output"]
    # two operations between the same nodes share an arrow
    assert (len(of_type(two, FancyBboxPatch)), len(of_type(two, FancyArrowPatch))) == (2, 1)
    assert [text.get_text() for text in two.texts] == ["input", "output", "sep3x3\nskip"]


def test_operations_of_one_name_have_one_colour() -> None:
    axes = drawn(a=Graph(("stem", "conv3x3 16", "conv3x3 32", "skip 32"), ((0, 1, ""), (1, 2, ""), (2, 3, "")))).axes[0]
    colours = [to_hex(box.get_facecolor()) for box in of_type(axes, FancyBboxPatch)]
    assert colours[0] == PLAIN
    assert colours[1] == colours[2]
    assert len(set(colours)) == 3


def corners(figure: Any, artist: Any) -> tuple[float, float, float, float]:
    extent = artist.get_window_extent(FigureCanvasAgg(figure).get_renderer())
    return extent.x0, extent.y0, extent.x1, extent.y1


def apart(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def check_that_nothing_is_covered(figure: Any) -> None:
    size = figure.bbox.bounds[2:]
    for axes in figure.axes:
        boxes = [corners(figure, box) for box in of_type(axes, FancyBboxPatch)]
        texts = [corners(figure, text) for text in axes.texts]
        for own in (boxes, texts):
            assert all(apart(a, b) for a, b in combinations(own, 2))
        assert all(a[0] >= 0 and a[1] >= 0 and a[2] <= size[0] and a[3] <= size[1] for a in boxes + texts)
        # the text of a node is in its box
        for box, text in zip(boxes, texts, strict=False):
            assert box[0] <= text[0]
            assert text[2] <= box[2]


@pytest.mark.parametrize("n", [1, 2, 8, 20, 37])
def test_long_chains_wrap(n: int) -> None:
    figure = drawn(a=chain(n))
    assert figure.get_figwidth() <= 12.5
    check_that_nothing_is_covered(figure)
    axes = figure.axes[0]
    heights = {round(text.get_position()[1], 6) for text in axes.texts}
    assert len(heights) == {1: 1, 2: 1, 8: 1, 20: 3, 37: 5}[n]


@pytest.mark.parametrize("seed", [0, 3, 20])
@pytest.mark.parametrize(
    "space",
    [
        nb201(),
        CellSpace(["conv3x3", "sep3x3", "maxpool3x3", "skip"], 4, "pairs"),
        CellSpace(["conv3x3", "skip"], 7, "dag"),
    ],
    ids=["edges", "pairs", "dag"],
)
def test_labels_of_cells_can_be_read(space: AbstractArchitectureSpace, seed: int) -> None:
    arch = space.random(np.random.default_rng(seed))
    figure = plot_architecture(arch)
    assert len(figure.axes) == len(space.graphs(arch))
    check_that_nothing_is_covered(figure)


def test_a_space_of_ones_own_shows_its_blocks() -> None:
    axes = drawn().axes[0]
    assert [text.get_text() for text in axes.texts] == ["input", "conv", "conv3x3", "add"]


@pytest.mark.parametrize(("suffix", "begins"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".PDF", b"%PDF")])
def test_files(tmp_path: Path, suffix: str, begins: bytes) -> None:
    path = tmp_path / f"a{suffix}"
    arch = nb201().random(np.random.default_rng(0))
    arch.plot(path)
    assert path.read_bytes().startswith(begins)


def test_an_unknown_suffix_and_no_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arch = nb201().random(np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"arch.doc': must end with one of .*\.png"):
        arch.plot(tmp_path / "arch.doc")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        arch.plot()


SCORES = [0.5, 0.4, None, 0.7, 0.65, 0.6, 0.72, 0.71]  # None: it fails
PARENTS = [None, 0, None, 0, 3, None, 2, 4]


class Descending(Evolution):
    """Evolution whose children have these parents."""

    def choose(self, records: Records, rng: np.random.Generator) -> Proposal:
        return Proposal(super().choose(records, rng).arch, PARENTS[len(records.trials)])


def architecture_oracle(directory: Path) -> Any:
    from kt_ext.oracles.architecture import ArchitectureOracle

    objective = keras_tuner.Objective("val_accuracy", "max")
    return placed(
        ArchitectureOracle(nb201(), Descending(population=3), objective, max_trials=len(SCORES), max_epochs=2, seed=0),
        directory,
    )


def played(directory: Path, scores: Sequence[float | None]) -> tuple[Any, Path]:
    """A search with two epochs for each trial, played without training; a trial without a score failed."""
    oracle = architecture_oracle(directory)
    for score in scores:
        trial = oracle.create_trial("worker")
        for epoch in (1, 2) if score is not None else ():
            oracle.update_trial(trial.trial_id, {"val_accuracy": score * epoch / 2}, step=epoch)
        trial.status = "INVALID" if score is None else "COMPLETED"
        oracle.end_trial(trial)
    oracle.finish()
    return oracle, directory / "project"


@pytest.fixture
def searched(tmp_path: Path) -> tuple[Any, Path]:
    """A search of eight trials, the third of which failed."""
    return played(tmp_path, SCORES)


def panel(figure: Any) -> Any:
    return figure.axes[0]


def dots(axes: Any) -> dict[str, list[tuple[float, float]]]:
    """Points by their label in matplotlib's legend."""
    return {one.get_label(): [(x, round(y, 6)) for x, y in one.get_offsets().tolist()] for one in axes.collections}


def test_population_and_descent(searched: tuple[Any, Path]) -> None:
    oracle, project = searched
    # the three that got there last; the failed one counts as the oldest
    assert population(oracle) == {5, 6, 7}
    axes = panel(plot_population(SimpleNamespace(oracle=oracle, project_dir=project)))
    shown = dots(axes)
    assert shown["in the population"] == [(5, 0.6), (6, 0.72), (7, 0.71)]
    assert shown["a trial"] == [(0, 0.5), (1, 0.4), (3, 0.7), (4, 0.65)]
    (lines,) = [line for line in axes.lines if line.get_label() == "from parent to child"]
    points = [(x, round(y, 6)) for x, y in lines.get_xydata().tolist() if x == x]
    # a child of the failed trial has no line
    assert list(zip(points[::2], points[1::2], strict=True)) == [
        ((0, 0.5), (1, 0.4)),
        ((0, 0.5), (3, 0.7)),
        ((3, 0.7), (4, 0.65)),
        ((4, 0.65), (7, 0.71)),
    ]


def test_a_failed_trial_is_never_the_best_so_far(tmp_path: Path) -> None:
    oracle = architecture_oracle(tmp_path)
    for score, status in ((0.5, "COMPLETED"), (0.9, "INVALID"), (0.7, "COMPLETED"), (0.6, "COMPLETED")):
        trial = oracle.create_trial("worker")
        oracle.update_trial(trial.trial_id, {"val_accuracy": score}, step=1)
        trial.status = status
        oracle.end_trial(trial)
    oracle.finish()
    record = read(tmp_path / "project")
    axes = panel(plot_population(record))
    (line,) = [line for line in axes.lines if line.get_label() == "best so far"]
    assert line.get_xydata().tolist() == [[0, 0.5], [2, 0.5], [2, 0.7], [3, 0.7], [3, 0.7], [3, 0.7]]
    assert record.best is not None and record.score(record.best)[0] == 0.7
    assert dots(axes)["a trial"] == [(0, 0.5), (1, 0.9), (2, 0.7), (3, 0.6)]


def test_a_record_knows_no_population(searched: tuple[Any, Path]) -> None:
    shown = dots(panel(plot_population(searched[1])))
    assert "in the population" not in shown
    assert len(shown["a trial"]) == 7
    names = {trace.name for trace in plot_population(searched[1], backend="plotly").data}
    assert names == {"from parent to child", "a trial", "best so far"}
    assert "Descent" in [shown.title for shown in gallery(read(searched[1]))]


def test_scores_far_worse_than_most_are_at_the_edge(tmp_path: Path) -> None:
    _, project = played(tmp_path, [SCORES[0], -5.0, *SCORES[2:]])
    axes = panel(plot_population(project))
    bottom, top = axes.get_ylim()
    assert 0.45 < bottom < 0.5
    assert 0.72 < top < 0.75
    assert dots(axes)["far worse"] == [(1, pytest.approx(bottom))]


def test_no_scores(tmp_path: Path) -> None:
    oracle = architecture_oracle(tmp_path)
    oracle.create_trial("worker")
    with pytest.raises(ValueError, match="no trial has a score yet"):
        plot_population(tmp_path / "project")
    oracle.finish()
