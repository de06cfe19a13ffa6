"""The page of a search: what is on it, that it loads nothing, and that nobody's text becomes markup."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape
from html.parser import HTMLParser

import keras_tuner
import pytest

from kt_ext.oracles import SchedulerOracle
from kt_ext.plots.gallery import LARGEST_SVG, Exhibit, as_html, gallery, script
from kt_ext.reports import words
from kt_ext.reports.figure import new_figure
from kt_ext.reports.page import page
from kt_ext.reports.record import read
from kt_ext.schedulers import FIFO
from oracles.oracle_driving import Workers, asha, placed
from reports.played import Clock, asha_promotion, asha_stopping, failing, median, pareto, population

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
EVIL = '</title></script><script>document.title="evil"</script><img src=x onerror="document.title=1">\'&'
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Checks that elements are closed in order; keeps attributes, headings, and tables as lists of texts."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.headings, self.tables, self.pairs = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag in ("h1", "h2"):
            self.headings.append("")
        elif tag in ("dt", "dd"):
            self.pairs.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data
        elif {"h1", "h2"} & set(self.open):
            self.headings[-1] += data
        elif {"dt", "dd"} & set(self.open):
            self.pairs[-1] += data

    @property
    def facts(self):
        return dict(zip(self.pairs[::2], self.pairs[1::2], strict=True))


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def evil_search(directory, clock):
    """Every name and value that a user gives is hostile."""
    hp = keras_tuner.HyperParameters()
    hp.Choice("kind" + EVIL, ["a" + EVIL, "b"])
    hp.Float("rate", 0.0, 1.0)
    objective = keras_tuner.Objective("loss" + EVIL.replace('"', "'"), "min")
    oracle = SchedulerOracle(FIFO(12, 2), objective=objective, seed=1, hyperparameters=hp)
    placed(oracle, directory)

    def curve(trial, epoch):
        if trial.trial_id == "01":
            return ValueError(EVIL)
        return {objective.name: trial.hyperparameters.values["rate"] + int(trial.trial_id) / epoch}

    Workers(oracle, clock.timed(curve)).run()
    oracle.finish()
    return read(directory / "project")


def test_what_is_on_the_page(tmp_path, clock):
    asha_promotion(tmp_path, clock)
    record = read(tmp_path / "project")
    shown = Page(page(record, [("A picture", "What & why", "<img>")], record.rung_epochs))
    assert shown.headings == ["project", "The best", "A picture", "Table of rungs", "Trials", "The search"]
    best = record.best
    assert shown.facts == {
        "trials": "1 done, 8 paused",
        "epochs trained": "21",
        "time": "21 s",
        "best loss": f"{record.score(best)[0]:.5g}",
        "of training all in full (9)": "26%",
        **{name: str(value) for name, value in best.values.items()},
        "directory": str(tmp_path / "project"),
        "last event": shown.facts["last event"],
        "scheduler": "ASHA(max_epochs=9, min_epochs=1, factor=3, brackets=1, max_trials=9, variant='promotion')",
        "searcher": "RandomSearcher",
        "seed": "3",
        "workers": "tuner0, tuner1",
        "begun with kt_ext": record.version,
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+", shown.facts["last event"])
    rungs, trials = shown.tables
    at_first = [t.objectives[0] for t in record.trials]
    assert rungs[:2] == [
        ["epochs", "trials that came", "trained beyond", "best loss"],
        ["1", "9", "3", f"{min(at_first):.5g}"],
    ]
    assert [row[:3] for row in rungs[2:]] == [["3", "3", "1"], ["9", "1", "0"]]
    assert trials[0] == [
        "trial", "status", "loss", "at epoch", "epochs", "seconds", "rate", "units", "kind", "depth", "why",
    ]  # fmt: skip
    assert [row[0] for row in trials[1:]] == [trial.name for trial in record.ranked()]
    assert trials[1][1:6] == ["done", f"{record.score(best)[0]:.5g}", "9", "9", f"{best.worked:.5g}"]
    assert trials[1][-1] == "trained to the end"


def test_trials_without_a_score_are_last_and_their_cells_are_empty(tmp_path, clock):
    failing(tmp_path, clock)
    (trials,) = Page(page(read(tmp_path / "project"))).tables
    assert [row[0] for row in trials[1:]] == ["3", "2", "0", "1"]
    assert trials[-1][1] == "failed"
    assert trials[-1][-1] == "failed: memory"


def test_the_page_of_a_search_that_has_not_reported_yet(tmp_path, clock):
    oracle = asha(tmp_path)
    oracle.begin()
    shown = Page(page(read(tmp_path / "project"), rungs=[1, 3]))
    assert shown.facts["trials"] == "none yet"
    assert list(gallery(read(tmp_path / "project"))) == []
    oracle.create_trial("tuner0")
    assert [each.title for each in gallery(read(tmp_path / "project"))] == ["Timeline"]
    (rungs, trials) = Page(page(read(tmp_path / "project"), rungs=[1, 3])).tables
    assert rungs[1:] == [["1", "0", "0", ""], ["3", "0", "0", ""]]
    assert trials[1][:5] == ["0", "running", "", "", "0"]
    oracle.finish()


def test_nobodys_text_becomes_markup(tmp_path, clock):
    record = evil_search(tmp_path, clock)
    text = page(record, [(EVIL, EVIL, "<img>")], title=EVIL)
    shown = Page(text)
    assert [tag for tag, _ in shown.elements if tag in ("script", "img")] == ["img", "script"]
    assert not any(name.startswith("on") for _, attrs in shown.elements for name in attrs)
    assert shown.headings[0] == shown.headings[2] == EVIL
    assert "kind" + EVIL in shown.tables[0][0]
    assert f"failed: {EVIL}" in shown.tables[0][-1]
    assert text.count(escape(EVIL)) >= 10


def test_pictures_do_not_carry_markup_either(tmp_path, clock):
    record = evil_search(tmp_path, clock)
    shown = next(gallery(record))
    assert [tag for tag, _ in Page(as_html(shown, "matplotlib", 0)).elements] == ["img"]
    evil = Exhibit("x", EVIL, shown.figure)
    ((tag, attrs),) = Page(as_html(evil, "matplotlib", 0)).elements
    assert (tag, attrs["alt"], list(attrs)) == ("img", EVIL, ["alt", "width", "src"])
    interactive = as_html(next(gallery(record, "plotly")), "plotly", 0)
    assert "<script>document.title" not in interactive
    assert "<img" not in interactive


@pytest.mark.parametrize("backend", ["matplotlib", "plotly"])
def test_the_page_loads_nothing(backend, tmp_path, clock):
    failing(tmp_path, clock)
    record = read(tmp_path / "project")
    pictures = [(s.title, s.caption, as_html(s, backend, k)) for k, s in enumerate(gallery(record, backend))]
    head = script(backend)
    text = page(record, pictures, script=head)
    shown = Page(text.replace(head, "") if head else text)
    addresses = [attrs[name] for _, attrs in shown.elements for name in ("src", "href") if name in attrs]
    assert all(address.startswith("data:image/") for address in addresses)
    assert len(addresses) == (len(pictures) if backend == "matplotlib" else 0)
    (policy,) = (attrs["content"] for tag, attrs in shown.elements if "http-equiv" in attrs)
    assert policy.startswith("default-src 'none'; img-src data: blob:;")
    assert ("plotly" in head) == (backend == "plotly")


def test_the_same_search_gives_the_same_page(tmp_path, clock):
    asha_stopping(tmp_path, clock)
    record = read(tmp_path / "project")

    def once():
        return [as_html(shown, "matplotlib", 0) for shown in gallery(record) if shown.title == "Rungs"]

    assert len(once()) == 1
    assert once() == once()
    assert page(record) == page(record)


@pytest.mark.parametrize(
    ("search", "titles"),
    [
        (asha_promotion, "Optimization history, Learning curves, Rungs, Parallel coordinates, Slices, Timeline"),
        (median, "Optimization history, Learning curves, Parallel coordinates, Slices, Timeline"),
        (pareto, "Pareto front, Learning curves, Parallel coordinates, Timeline"),
        (
            population,
            "Optimization history, Learning curves, Lineage, Schedules, Parallel coordinates, Slices, Timeline",
        ),
    ],
)
def test_which_pictures_apply(search, titles, tmp_path, clock):
    search(tmp_path, clock)
    assert ", ".join(shown.title for shown in gallery(read(tmp_path / "project"))) == titles


def test_importances_need_ten_trials_whose_scores_differ(tmp_path, clock):
    def titles(name, max_trials, curve):
        oracle = asha(tmp_path, name, max_trials=max_trials, max_epochs=1)
        Workers(oracle, curve).run()
        oracle.finish()
        return [shown.title for shown in gallery(read(tmp_path / name))]

    varied = lambda trial, epoch: {"loss": float(trial.trial_id)}  # noqa: E731
    assert "Importances" not in titles("nine", 9, varied)
    assert "Importances" in titles("ten", 10, varied)
    assert "Importances" not in titles("equal", 10, lambda trial, epoch: {"loss": 1.0})


def test_a_picture_of_very_many_points_is_made_of_pixels():
    small, large = new_figure(4, 3), new_figure(4, 3)
    small.subplots().plot([0, 1], [0, 1])
    large.subplots().scatter(range(30_000), [k % 97 for k in range(30_000)])
    assert "data:image/svg+xml;" in as_html(Exhibit("", "", small), "matplotlib", 0)
    text = as_html(Exhibit("", "", large), "matplotlib", 0)
    assert "data:image/png;" in text
    assert len(text) < LARGEST_SVG


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"), (59.6, "1 min"), (65, "1 min 5 s"), (3600, "1 h"), (7805, "2 h 10 min"), (4 * 86400, "4 d"),
        (90061, "1 d 1 h"),
    ],
)  # fmt: skip
def test_durations(seconds, text):
    assert words.duration(seconds) == text


def test_a_scheduler_with_a_rule_in_words(tmp_path, clock):
    median(tmp_path, clock)
    assert words.scheduler(read(tmp_path / "project")) == (
        "MedianRule(warmup_epochs=1, min_trials=3, every=1) on FIFO(max_trials=9, max_epochs=4)"
    )


def in_browser(tmp_path, text, *options):
    """The page's document after its scripts have run, and what the browser's console said."""
    path = tmp_path / "page.html"
    path.write_text(text, encoding="utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", *options]
    command += ["--virtual-time-budget=20000", f"--user-data-dir={tmp_path}/profile", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


needs_browser = pytest.mark.skipif(BROWSER is None, reason="needs Chromium: apt-get install chromium")
PROBE = """<script>
const results = {}, table = [...document.querySelectorAll("table")].at(-1);
const column = name => [...table.tHead.rows[0].cells].findIndex(cell => cell.textContent === name);
const cells = name => [...table.tBodies[0].rows].map(row => row.cells[column(name)].textContent);
const click = name => table.tHead.rows[0].cells[column(name)].querySelector("button").click();
for (const name of NAMES) { click(name); results[name] = cells(name); click(name); results["-" + name] = cells(name); }
results.sorted = table.tHead.querySelectorAll("[aria-sort]").length;
results.overflow = document.documentElement.scrollWidth > document.documentElement.clientWidth;
results.back = getComputedStyle(document.body).backgroundColor;
results.title = document.title;
window.addEventListener("load", () => {
  results.images = [...document.images].map(image => image.complete && image.naturalWidth > 100);
  results.drawn = document.querySelectorAll(".plotly-graph-div .main-svg, .plotly-graph-div canvas").length > 0;
  const out = document.createElement("pre"); out.id = "probe"; out.textContent = JSON.stringify(results);
  document.body.append(out);
});
</script></body>"""


def probed(tmp_path, text, names, *options):
    probe = PROBE.replace("NAMES", json.dumps(names))
    head, _, tail = text.rpartition("</body>")
    dumped, console = in_browser(tmp_path, head + probe + tail, *options)
    found = re.search(r'<pre id="probe">(.*?)</pre>', dumped, re.DOTALL)
    assert found, dumped[-2000:]
    return json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")), console


@pytest.mark.slow
@needs_browser
def test_in_a_browser_the_table_sorts_and_the_pictures_show(tmp_path, clock):
    asha_promotion(tmp_path, clock)
    record = read(tmp_path / "project")
    pictures = [(s.title, s.caption, as_html(s, "matplotlib", k)) for k, s in enumerate(gallery(record))]
    text = page(record, pictures, record.rung_epochs)
    found, console = probed(tmp_path, text, ["units", "depth", "kind"], "--window-size=500,900")
    units = sorted(trial.values["units"] for trial in record.trials)
    assert found["units"] == [str(each) for each in units]
    assert found["-units"] == [str(each) for each in units[::-1]]
    depths = sorted(trial.values["depth"] for trial in record.trials if "depth" in trial.values)
    missing = [""] * (9 - len(depths))
    assert found["depth"] == [*map(str, depths), *missing]
    assert found["-depth"] == [*map(str, depths[::-1]), *missing]
    assert found["kind"] == sorted(trial.values["kind"] for trial in record.trials)
    assert found["sorted"] == 1
    assert found["images"] == [True] * len(pictures)
    assert not found["overflow"]
    assert console == []


@pytest.mark.slow
@needs_browser
def test_in_a_browser_it_is_light_or_dark(tmp_path, clock):
    failing(tmp_path, clock)
    text = page(read(tmp_path / "project"))
    backs = [
        probed(tmp_path, text, [], f"--blink-settings=preferredColorScheme={scheme}")[0]["back"] for scheme in (0, 1)
    ]
    assert backs == ["rgb(18, 23, 29)", "rgb(245, 247, 249)"]


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("backend", ["matplotlib", "plotly"])
def test_in_a_browser_hostile_names_do_nothing(backend, tmp_path, clock):
    record = evil_search(tmp_path, clock)
    pictures = [(s.title, s.caption, as_html(s, backend, k)) for k, s in enumerate(gallery(record, backend))]
    assert "Importances" in [title for title, _, _ in pictures]
    found, console = probed(tmp_path, page(record, pictures, title=EVIL, script=script(backend)), ["rate"])
    assert found["title"] == EVIL
    assert found["drawn"] == (backend == "plotly")
    assert console == []
