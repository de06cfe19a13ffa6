"""``report DIR -o FILE``: a search as one page of HTML."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from kt_ext.commands.search import add_command, follow

if TYPE_CHECKING:
    from kt_ext.commands.search import Commands


def add_report(commands: Commands) -> None:
    """Add the command."""
    what = "write a search as one page of HTML with tables and pictures, which loads nothing"
    parser = add_command(commands, "report", what, _report)
    parser.add_argument("-o", "--output", default="report.html", metavar="FILE", help="(report.html)")
    parser.add_argument("--title", metavar="T", help="heading (the name of the directory)")
    parser.add_argument(
        "--interactive", action="store_true", help="pictures of plotly, which answer the pointer; 5 MB of JavaScript"
    )


def _report(options: argparse.Namespace) -> None:
    from kt_ext.plots.gallery import as_html, gallery, script
    from kt_ext.plots.render import Backend
    from kt_ext.reports.page import page

    _, record = follow(options.directory)
    backend: Backend = "plotly" if options.interactive else "matplotlib"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of matplotlib, of axes that are narrow; no reader could help it
        pictures = [
            (shown.title, shown.caption, as_html(shown, backend, number))
            for number, shown in enumerate(gallery(record, backend))
        ]
    text = page(record, pictures, record.rung_epochs, options.title, script(backend))
    Path(options.output).write_text(text, encoding="utf-8")
    print(f"{options.output}: {len(record.trials)} trials, {len(pictures)} pictures, {len(text) / 1e6:.1f} MB")
