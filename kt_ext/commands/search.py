"""What the commands that look at a search have in common."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kt_ext.reports.record import Follower, SearchRecord

    # argparse has no public name for what add_subparsers returns
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_command(
    commands: Commands, name: str, what: str, run: Callable[[argparse.Namespace], None]
) -> argparse.ArgumentParser:
    """A command with the project's directory as its first argument, whose failures are one line and exit code 1."""

    def run_it(options: argparse.Namespace) -> None:
        with _one_line(name):
            run(options)

    parser = commands.add_parser(name, help=what, description=what[0].upper() + what[1:] + ".")
    parser.add_argument("directory", metavar="DIR", help="the search's project directory, directory/project_name")
    parser.set_defaults(run=run_it)
    return parser


@contextmanager
def _one_line(command: str) -> Iterator[None]:
    from kt_ext.core.durable import StorageError
    from kt_ext.core.journal import JournalDamaged

    try:
        yield
    except (OSError, ValueError, ImportError, JournalDamaged, StorageError) as error:
        raise SystemExit(f"python -m kt_ext {command}: {error}") from error


def follow(directory: str) -> tuple[Follower, SearchRecord]:
    """A search, and how to read on. Raises FileNotFoundError where there is none, JournalDamaged."""
    from kt_ext.reports.record import JOURNAL, Follower

    follower = Follower(directory)
    record = follower.update()
    if not record.scheduler:
        raise FileNotFoundError(f"{record.directory / JOURNAL}: not even its first line is written yet; try again")
    return follower, record


def leader(record: SearchRecord) -> dict[str, Any] | None:
    """The process that leads the search, as its lock has it: pid, host, since, command; None: nobody."""
    from kt_ext.core.lock import ProjectLock
    from kt_ext.reports.record import LOCK

    return ProjectLock.holder(record.directory / LOCK)


def silence(record: SearchRecord) -> float:
    """Seconds since the last event, or since a process took it up, by this machine's clock."""
    from kt_ext.reports import watch

    return watch.silence(record.directory)
