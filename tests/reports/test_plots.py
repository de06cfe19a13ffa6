"""Pictures of searches: what their lines, points and bars say, by either backend."""

from __future__ import annotations

import math
import sys
import warnings
from itertools import pairwise

import matplotlib
import numpy as np
import plotly.graph_objects
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_hex

import kt_ext
from kt_ext import plots
from kt_ext.core.lineage import schedule
from kt_ext.plots.picture import BEST, DOT, ORANGE, RED, Points, at_the_edge, joined, shades, staircase, usual_range
from kt_ext.plots.population import path_to
from kt_ext.reports.record import read
from reports.played import (
    Clock,
    asha_cut_short,
    asha_promotion,
    asha_stopping,
    failing,
    median,
    pareto,
    pasha,
    population,
)


@pytest.fixture(scope="module")
def searches(tmp_path_factory):
    """The oracle and the project directory of each search by name."""
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock(patch)
        for play in (asha_cut_short, asha_promotion, asha_stopping, failing, median, pareto, pasha, population):
            directory = tmp_path_factory.mktemp(play.__name__)
            made[play.__name__] = play(directory, clock), directory / "project"
    return made


@pytest.fixture
def projects(searches):
    return {name: project for name, (_, project) in searches.items()}


def traces(figure):
    """Plotly's traces by name, each with its points but for the gaps."""
    return {
        trace.name: [(x, y) for x, y in zip(trace.x, trace.y, strict=True) if x == x and y == y]
        for trace in figure.data
    }


def lines(figure, panel=0):
    """Matplotlib's lines by label, each with its points but for the gaps."""
    found = {}
    for line in figure.axes[panel].lines:
        data = line.get_xydata()
        found[line.get_label()] = [tuple(point) for point in data[~np.isnan(data).any(axis=1)].tolist()]
    return found


def dots(figure, panel=0):
    """Matplotlib's points by label."""
    return {
        each.get_label(): [tuple(p) for p in each.get_offsets().tolist()] for each in figure.axes[panel].collections
    }


# Optimization history

ACCURACY = [0.5 - distance / 10 + 3 / 100 for distance in (3, 1, 0)]  # of trials 0, 2, 3 of `failing` at their ends


def test_history_against_trials(projects):
    figure = plots.plot_optimization_history(projects["failing"])
    scores = [(0.0, ACCURACY[0]), (1.0, 0.5 - 2 / 10 + 1 / 100), (2.0, ACCURACY[1]), (3.0, ACCURACY[2])]
    assert dots(figure) == {"a trial": scores}
    assert [y for _, y in lines(figure)["best so far"]] == [score for _, score in scores for _ in range(2)]
    assert figure.axes[0].get_ylabel() == "accuracy"


@pytest.mark.parametrize(("against", "end"), [("epochs", 10.0), ("seconds", 11.0)])
def test_history_against_epochs_and_seconds(projects, against, end):
    figure = plots.plot_optimization_history(projects["failing"], against, backend="plotly")
    found = traces(figure)
    record = read(projects["failing"])
    expected = [trial.objectives[k] for trial, k in record.each_report()]
    assert [y for _, y in found["a report"]] == expected
    x = [x for x, _ in found["a report"]]
    assert x == (list(range(1, 11)) if against == "epochs" else [t.times[k] for t, k in record.each_report()])
    assert found["best so far"][-1] == (end, max(expected))
    assert figure.data[0].hovertext[3] == "trial 1, epoch 1: 0.31"


def test_history_of_a_minimised_objective(searches):
    oracle, project = searches["asha_promotion"]
    best = lines(plots.plot_optimization_history(project, "epochs"))["best so far"]
    assert best[-1] == (oracle.search.history.total_epochs, oracle.best)
    assert all(later <= earlier for (_, earlier), (_, later) in pairwise(best))


def test_history_refuses(projects):
    with pytest.raises(ValueError, match="against='time': must be 'trials', 'epochs' or 'seconds'"):
        plots.plot_optimization_history(projects["failing"], "time")
    with pytest.raises(ValueError, match="use plot_pareto_front"):
        plots.plot_optimization_history(projects["pareto"])
    with pytest.raises(ValueError, match="backend='bokeh': must be 'matplotlib' or 'plotly'"):
        plots.plot_optimization_history(projects["failing"], backend="bokeh")


# Learning curves


def test_curves_are_coloured_by_rung(projects):
    record = read(projects["asha_promotion"])
    found = lines(plots.plot_intermediate_values(record))
    best = record.best
    assert found[f"the best, trial {best.name}"] == list(zip(best.epochs, best.objectives, strict=True))
    for rung in (1, 3, 9):
        members = [trial for trial in record.trials if trial.epochs[-1] == rung]
        points = [p for t in members for p in zip(t.epochs, t.objectives, strict=True) if not math.isnan(p[1])]
        assert found[f"came to epoch {rung}"] == points


def test_curves_are_coloured_by_fate_where_there_are_no_rungs(projects):
    figure = plots.plot_intermediate_values(projects["failing"])
    assert {line.get_label(): to_hex(line.get_color()) for line in figure.axes[0].lines} == {
        "done": BEST,
        "failed": RED,
        "the best, trial 3": ORANGE,
    }
    assert "stopped early" in lines(plots.plot_intermediate_values(projects["median"]))


# Rungs


def test_rungs(projects):
    record = read(projects["asha_promotion"])
    figure = plots.plot_rungs(record, backend="plotly")
    found = traces(figure)
    assert record.rung_epochs == (1, 3, 9)
    for name, told in (
        ("went on", lambda t, rung: t.epochs[-1] > rung),
        ("paused there", lambda t, rung: t.epochs[-1] == rung),
    ):
        expected = {
            (k, trial.objectives[trial.epochs.index(rung)])
            for trial in record.trials
            for k, rung in enumerate((1, 3))
            if rung in trial.epochs and told(trial, rung)
        }
        assert set(found[name]) == {(k, y) for k, y in expected if y <= figure.layout.yaxis.range[1]}
    beyond = sum(trial.objectives[0] > figure.layout.yaxis.range[1] for trial in record.trials)
    assert sum(len(trace.x) for trace in figure.data if trace.name == "far worse") == beyond > 0
    ends = {(2, trial.objectives[-1]) for trial in record.trials if trial.epochs[-1] == 9}
    assert set(found["trained to the end"]) == ends
    came = [sum(trial.epochs[-1] >= rung for trial in record.trials) for rung in (1, 3, 9)]
    assert [note.text for note in figure.layout.annotations] == [
        f"{came[0]} came, {came[1]} went on",
        f"{came[1]} came, {came[2]} went on",
        f"{came[2]} came",
    ]
    assert {(note.yref, note.y) for note in figure.layout.annotations} == {("y domain", 1.0)}


def test_rungs_of_the_stopping_variant_and_of_a_search_cut_short(projects):
    assert {"went on", "stopped", "trained to the end"} <= dots(plots.plot_rungs(projects["asha_stopping"])).keys()
    assert read(projects["pasha"]).rung_epochs == (1, 3, 9)
    with pytest.raises(ValueError, match="FIFO compares no trials at rungs; use plot_intermediate_values"):
        plots.plot_rungs(projects["failing"])
    assert plots.plot_rungs(projects["asha_cut_short"]).axes[0].get_xlabel() == "epochs"


# A population


def test_the_path_to_a_state_is_its_schedule(searches):
    oracle, project = searches["population"]
    record = read(project)
    seeds = dict.fromkeys(range(6), 0)
    for trial in record.trials:
        for epoch in (1, 4, trial.epochs[-1]):
            theirs = schedule(oracle.search, trial.number, epoch, seeds).stretches
            trained = [s.member for s in theirs for _ in range(s.begin, s.end)]
            assert [s.member for s in path_to(record, trial.number, epoch) for _ in range(s.begin, s.end)] == trained


def test_lineage(searches):
    oracle, project = searches["population"]
    found = traces(plots.plot_lineage(project, backend="plotly"))
    record = read(project)
    rows = oracle.search.takeovers
    assert set(found["takes over"]) == {(ref.epoch, n) for member, ref in rows for n in (member, ref.trial_id)}
    path = path_to(record, record.best.number, record.score(record.best)[1])
    assert set(found["the way to the best"]) == {(e, s.member) for s in path for e in (s.begin, s.end)}
    best_of_each = {  # the last of six in each epoch
        epoch: min((t.objectives[t.epochs.index(epoch)], t.number) for t in record.trials if epoch in t.epochs)[1]
        for epoch in range(1, 8)
    }
    assert {(epoch, member) for epoch, member in best_of_each.items()} <= set(found["best of its epoch"])


def test_schedules(searches):
    oracle, project = searches["population"]
    record = read(project)
    figure = plots.plot_schedules(project, ["units", "kind", "rate"])
    assert [axes.get_ylabel() for axes in figure.axes] == ["units", "kind", "rate"]
    assert [axes.get_yscale() for axes in figure.axes] == ["linear", "linear", "log"]
    assert [text.get_text() for text in figure.axes[1].get_yticklabels()] == ["a", "b", "c"]
    epoch = record.score(record.best)[1]
    units = [
        s.values["units"] for s in oracle.schedule(record.best.name, epoch).stretches for _ in range(s.begin, s.end)
    ]
    drawn = lines(figure)["the way to the best"]
    middles = [[y for (x, y), (x2, _) in pairwise(drawn) if x < e - 0.5 < x2] for e in range(1, epoch + 1)]
    assert middles == [[each] for each in units]


def test_schedules_of_a_search_without_changes_and_an_unknown_name(projects):
    assert [axes.get_ylabel() for axes in plots.plot_schedules(projects["failing"]).axes] == ["rate", "units", "kind"]
    with pytest.raises(ValueError, match=r"params=\['lr'\]: there is no 'lr'; there are rate, units, kind"):
        plots.plot_schedules(projects["population"], ["lr"])


# Timeline


def test_timeline(projects):
    record = read(projects["asha_promotion"])
    figure = plots.plot_timeline(record, backend="plotly")
    bars = {
        (worker, begin, begin + width)
        for trace in figure.data
        for worker, begin, width in zip(trace.y, trace.base, trace.x, strict=True)
    }
    workers = ["tuner0", "tuner1"]
    stays = [s for trial in record.trials for s in trial.stretches]
    assert bars == {(workers.index(s.worker), s.began, s.ended) for s in stays}
    assert list(figure.layout.yaxis.ticktext) == workers
    assert {trace.name for trace in plots.plot_timeline(projects["failing"], backend="plotly").data} == {
        "trained",
        "trained the best",
        "failed",
    }
    shown = plots.plot_timeline(projects["failing"]).axes[0].collections
    assert {each.get_label(): len(each.get_paths()) for each in shown} == {
        "trained": 2,
        "trained the best": 1,
        "failed": 1,
    }


# Optuna's


@pytest.mark.parametrize("backend", ["matplotlib", "plotly"])
@pytest.mark.parametrize("name", ["plot_parallel_coordinate", "plot_slice", "plot_contour", "plot_param_importances"])
def test_pictures_of_optuna(projects, name, backend):
    before, settings = pyplot.get_fignums(), dict(matplotlib.rcParams)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = getattr(plots, name)(projects["asha_promotion"], params=["units", "rate"], backend=backend)
    assert type(figure).__module__.startswith(backend)
    assert pyplot.get_fignums() == before  # a notebook would show it twice
    assert dict(matplotlib.rcParams) == settings


def test_slice_holds_every_trial_with_a_score(projects):
    record = read(projects["asha_promotion"])
    figure = plots.plot_slice(record, ["units"], backend="plotly")
    assert sorted(zip(figure.data[0].x, figure.data[0].y, strict=True)) == sorted(
        (trial.values["units"], record.score(trial)[0]) for trial in record.trials
    )
    first = plots.plot_slice(record, ["units"], target=lambda trial: trial.intermediate_values[1], backend="plotly")
    assert sorted(first.data[0].y) == sorted(trial.objectives[0] for trial in record.trials)


def test_importances_are_those_of_fanova(projects):
    figure = plots.plot_param_importances(projects["asha_promotion"], backend="plotly")
    shares = dict(zip(figure.data[0].y, figure.data[0].x, strict=True))
    assert max(shares, key=shares.get) == "units"
    assert sum(shares.values()) == pytest.approx(1.0)
    assert set(shares) == {"rate", "units", "kind"}  # those that every trial has


def test_pareto_front(projects):
    figure = plots.plot_pareto_front(projects["pareto"], backend="plotly")
    found = [sorted(zip(trace.x, trace.y, strict=True)) for trace in figure.data]
    assert found == [[(2.0, 0.4), (2.0, 0.5)], [(1.0, 0.6), (4.0, 0.9)]]
    figure = plots.plot_pareto_front(projects["pareto"])
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("loss", "accuracy")


def test_what_optuna_cannot_draw(projects):
    with pytest.raises(ValueError, match="loss is one number and has no Pareto front"):
        plots.plot_pareto_front(projects["asha_promotion"])
    with pytest.raises(ValueError, match=r"target=None: loss and accuracy are compared by domination"):
        plots.plot_slice(projects["pareto"])
    with pytest.raises(ValueError, match=r"params=\['lr'\]: there is no 'lr'"):
        plots.plot_contour(projects["pareto"], ["lr"])


# What is shared


def test_every_picture_comes_from_either_backend(projects):
    for name in ("optimization_history", "intermediate_values", "rungs", "lineage", "schedules", "timeline"):
        plot = getattr(kt_ext.plots, f"plot_{name}")
        for backend, kind in (("matplotlib", matplotlib.figure.Figure), ("plotly", plotly.graph_objects.Figure)):
            figure = plot(projects["asha_promotion"], backend=backend)
            assert isinstance(figure, kind)
            if backend == "matplotlib":
                figure.draw_without_rendering()
            else:
                assert len(figure.to_html()) > 1000


def test_a_backend_that_is_not_there(projects, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(ImportError, match="backend='plotly': is not installed: pip install plotly"):
        plots.plot_timeline(projects["failing"], backend="plotly")
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match="pip install optuna"):
        plots.plot_param_importances(projects["failing"])


def test_far_worse_values_are_triangles_at_the_edge():
    losses = [1.0, 1.1, 1.2, 1.3, 900.0]
    low, high = usual_range(losses, maximise=False)
    assert low < 1.0
    assert 1.3 < high < 2.0
    assert usual_range(losses[:4], maximise=False) is None
    assert usual_range(losses, maximise=True) is None  # there 900 is the best, and shown
    inside, beyond = at_the_edge(Points(range(5), losses, DOT, "a trial", texts=list("abcde")), (low, high))
    assert (inside.y, inside.texts, inside.label) == (losses[:4], list("abcd"), "a trial")
    assert (beyond.x, beyond.y, beyond.marker, beyond.texts) == ([4], [high], "up", ["e"])


def test_corners_and_gaps():
    assert staircase([0, 2, 5], [1.0, 3.0, 2.0], 7) == ([0, 2, 2, 5, 5, 7], [1.0, 1.0, 3.0, 3.0, 2.0, 2.0])
    x, y = joined([([1, 2], [3.0, 4.0]), ([5], [6.0])])
    assert (x[:2], y[:2], x[3], y[3]) == ([1, 2], [3.0, 4.0], 5, 6.0)
    assert math.isnan(x[2])
    assert math.isnan(y[2])
    assert shades(1) == ["#10305c"]
    assert len(set(shades(5))) == 5
