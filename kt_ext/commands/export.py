"""``export DIR``: trials and reports for other programs."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kt_ext.commands.search import add_command, follow

if TYPE_CHECKING:
    from kt_ext.commands.search import Commands


def add_export(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "export", "write the trials and the reports of a search for other programs", _export)
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument(
        "--csv",
        action="store_true",
        help="two tables: FILE with a row for each trial, and FILE with "
        "-history before its suffix with a row for each report",
    )
    kind.add_argument("--json", action="store_true", help="one object with the search, its trials and its reports")
    kind.add_argument("--optuna", metavar="URL", help="a study in a storage of Optuna, such as sqlite:///study.db")
    parser.add_argument("-o", "--output", metavar="FILE", help="for --csv and --json")
    parser.add_argument("--study-name", metavar="S", help="for --optuna (the name of the directory)")


def _export(options: argparse.Namespace) -> None:
    if (options.output is None) != (options.optuna is not None):
        raise ValueError("--csv and --json need -o FILE; --optuna has its URL, and no -o")
    _, record = follow(options.directory)
    if options.optuna is not None:
        _to_optuna(record, options.optuna, options.study_name)
        return
    from kt_ext.reports import words
    from kt_ext.reports.tables import history, results

    path = Path(options.output)
    if options.csv:
        reports = path.with_name(f"{path.stem}-history{path.suffix}")
        results(record).to_csv(path, index=False)
        history(record).to_csv(reports, index=False)
        print(f"{path}: {len(record.trials)} trials\n{reports}: {len(record.reports)} reports")
    else:
        whole = {
            "search": {
                "objective": record.directions,
                "scheduler": words.scheduler(record),
                "seed": record.seed,
                "kt_ext": record.version,
                "seconds": record.seconds,
            },
            "trials": _rows(results(record)),
            "history": _rows(history(record)),
        }
        path.write_text(json.dumps(whole, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        print(f"{path}: {len(record.trials)} trials, {len(record.reports)} reports")


def _rows(table: Any) -> list[dict[str, Any]]:
    """A table's rows; null is what JSON has for NaN and infinities."""
    return [
        {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()}
        for row in table.to_dict("records")
    ]


def _to_optuna(record: Any, url: str, name: str | None) -> None:
    from kt_ext.reports.optuna_study import to_optuna_study

    study = to_optuna_study(record, url, name)
    print(f"{url}: study {study.study_name!r}, {len(study.trials)} trials; optuna-dashboard {url} shows it")
