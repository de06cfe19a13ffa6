"""A search as one page of HTML that loads nothing from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Any

from kt_ext.reports import words
from kt_ext.reports.page_parts import SCRIPT, STYLE
from kt_ext.reports.record import JOURNAL, SearchRecord


def page(
    record: SearchRecord,
    pictures: Sequence[tuple[str, str, str]] = (),
    rungs: Sequence[int] = (),
    title: str | None = None,
    script: str = "",
) -> str:
    """The page.

    Args:
        record: the search, which may be running.
        pictures: heading, caption and HTML of each.
        rungs: the epochs at which trials are compared, ascending; none: without a table of them.
        title: None: the name of the project's directory.
        script: an element for the head that the pictures need.

    Returns:
        HTML. What comes from the search is escaped; by its Content-Security-Policy the page cannot reach a network.
    """
    heading = record.directory.resolve().name if title is None else title
    shown = "\n".join(
        f'<section><h2>{escape(name)}</h2><p>{escape(caption)}</p><div class="wide picture">{html}</div></section>'
        for name, caption, html in pictures
    )
    may_run = "'unsafe-inline' 'unsafe-eval'" if script else "'unsafe-inline'"  # plotly compiles shaders by eval
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src {may_run}">
<title>{escape(heading)}</title>
<style>{STYLE}</style>
{script}
</head>
<body>
<h1>{escape(heading)}</h1>
<p>{escape(_what(record))}</p>
<section>{_figures(record)}</section>
{_best(record)}
{shown}
{_rungs(record, rungs)}
<section><h2>Trials</h2><p>Best first; a click on a heading sorts by it.</p>{_trials(record)}</section>
<section><h2>The search</h2>{_facts(record)}</section>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _what(record: SearchRecord) -> str:
    ways = ", ".join(f"{name} ({way})" for name, way in record.directions.items())
    return f"{record.scheduler.get('scheduler', 'A')} search for {ways}"


def _figures(record: SearchRecord) -> str:
    units, each = words.unit(record), words.most_each(record)
    rows = [
        ("trials", str(len(record.trials))),
        (f"{units}s trained", str(record.total_epochs)),
        ("time", words.duration(record.seconds)),
    ]
    if record.best is not None:
        rows += [(f"best {name}", words.number(value)) for name, value in words.judged(record, record.best).items()]
    if each and record.trials:
        rows.append((f"of training all in full ({each})", f"{record.total_epochs / (each * len(record.trials)):.0%}"))
    return _list("figures", rows)


def _best(record: SearchRecord) -> str:
    best = record.best
    if best is None:
        return "<section><p>No trial has a finite score yet.</p></section>"
    where = f"Trial {best.name}, after {words.unit(record)} {record.score(best)[1]}"
    rows = [(name, str(value)) for name, value in words.values(record, best).items()]
    return f"<section><h2>The best</h2><p>{escape(where)}</p>{_list('facts', rows)}</section>"


def _facts(record: SearchRecord) -> str:
    written = datetime.fromtimestamp((record.directory / JOURNAL).stat().st_mtime).astimezone()
    workers = {stretch.worker for trial in record.trials for stretch in trial.stretches if stretch.worker}
    rows = [
        ("directory", str(record.directory.resolve())),
        ("last event", f"{written:%Y-%m-%d %H:%M:%S %Z}"),
        ("trials", words.statuses(record)),
        ("scheduler", words.scheduler(record)),
        ("searcher", record.searcher or "not on record"),
        ("seed", str(record.seed)),
        ("workers", ", ".join(sorted(workers)) or "one process"),
        ("begun with kt_ext", record.version),
    ]
    return _list("facts", rows)


def _rungs(record: SearchRecord, rungs: Sequence[int]) -> str:
    rows = []
    for rung in rungs:
        reached = [trial for trial in record.trials if trial.epochs and trial.epochs[-1] >= rung]
        beyond = sum(trial.epochs[-1] > rung for trial in reached)
        here = [t.objectives[t.epochs.index(rung)] for t in reached if rung in t.epochs]
        known = [objective for objective in here if objective == objective]  # NaN counted as the worst
        best = (max if record.maximise else min)(known) if known else None
        rows.append([rung, len(reached), beyond, best])
    if not rows:
        return ""
    table = _table([words.unit(record) + "s", "trials that came", "trained beyond", f"best {record.objective}"], rows)
    return f"<section><h2>Table of rungs</h2>{table}</section>"


def _trials(record: SearchRecord) -> str:
    ranked = record.ranked()
    placed = {trial.number for trial in ranked}
    judged = list(record.directions) if record.pareto else [record.objective]
    columns = ["trial", "status", *judged, f"at {words.unit(record)}", f"{words.unit(record)}s", "seconds"]
    rows = []
    for trial in [*ranked, *(trial for trial in record.trials if trial.number not in placed)]:
        found, own = words.judged(record, trial), words.values(record, trial)
        epoch, done = record.score(trial)[1] or None, trial.epochs[-1] if trial.epochs else 0
        scores = [found.get(name) for name in judged]
        own_values = [own.get(name) for name in record.names]
        rows.append([trial.name, words.STATUSES[trial.status], *scores, epoch, done, round(trial.worked, 1)])
        rows[-1] += [*own_values, trial.why]
    return _table([*columns, *record.names, "why"], rows, best=bool(ranked))


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]], best: bool = False) -> str:
    """A table whose headings sort it; ``best``: its first row stands out."""
    head = "".join(f'<th scope="col"><button type="button">{escape(name)}</button></th>' for name in columns)
    heads = ['<tr class="best">' if best else "<tr>", *["<tr>"] * len(rows)]
    body = "\n".join(start + "".join(map(_cell, row)) + "</tr>" for start, row in zip(heads, rows, strict=False))
    return f'<div class="tall"><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>'


def _cell(value: Any) -> str:
    text = escape(words.number(value))
    if isinstance(value, (int, float)) and not isinstance(value, bool) and text:
        return f'<td class="number" data-n="{value!r}">{text}</td>'
    return f"<td>{text}</td>"


def _list(kind: str, rows: Sequence[tuple[str, str]]) -> str:
    """Names and values, as lines ("facts") or as tiles ("figures")."""
    pairs = [f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows]
    items = "".join(pairs if kind == "facts" else [f"<div>{pair}</div>" for pair in pairs])
    return f'<dl class="{kind}">{items}</dl>'
