"""The command line, ``python -m kt_ext COMMAND``. Loads neither Keras nor a backend."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from kt_ext.commands.best import add_best
from kt_ext.commands.export import add_export
from kt_ext.commands.report import add_report
from kt_ext.commands.resume import add_resume
from kt_ext.commands.watch import add_watch

if TYPE_CHECKING:
    from kt_ext.commands.search import Commands


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command.

    Args:
        arguments: the command and what follows it; None: those of the process.

    Raises:
        SystemExit: the arguments are wrong (2) or the command failed (1); the message goes to stderr.
    """
    parser = argparse.ArgumentParser(
        "python -m kt_ext", description="Looks at searches, and prepares those on many machines."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for add in COMMANDS:
        add(commands)
    given = list(sys.argv[1:] if arguments is None else arguments)
    # argparse itself would take what follows -- for SCRIPT's only where no option stands in between.
    end = given.index("--") if "--" in given else len(given)
    options = parser.parse_args(given[:end], argparse.Namespace(arguments=given[end + 1 :]))
    if options.arguments and "takes_arguments" not in options:
        parser.error(f"unrecognized arguments: {shlex.join(given[end:])}")
    if "run" in options:
        options.run(options)
    else:
        parser.print_help()


def add_credentials(commands: Commands) -> None:
    """``credentials DIR``: make the certificate and the token of a chief and its workers."""
    what = "make a certificate and a token, by which a chief and its workers on other machines know each other"
    parser = commands.add_parser("credentials", help=what, description=what.capitalize() + ".")
    parser.add_argument("directory", metavar="DIR", help="absent or empty; only its owner will have access")
    parser.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="H",
        help="an IP address or DNS name of the chief for the certificate, beside localhost; may be repeated",
    )
    parser.add_argument("--days", type=int, default=365, metavar="N", help="how long they are valid (365)")
    parser.set_defaults(run=_make_credentials)


def _make_credentials(options: argparse.Namespace) -> None:
    from kt_ext.execution.credentials import CREDENTIALS, create

    try:
        made = create(options.directory, options.host, options.days)
    except (OSError, ValueError, ImportError) as error:
        raise SystemExit(f"python -m kt_ext credentials: {error}") from error
    print(f"Credentials, valid until {made.expires:%Y-%m-%d}, are in {made.directory}")
    print("On every machine of the search, where the directory is shared or copied to with scp -rp:")
    print(f"  export {CREDENTIALS}={shlex.quote(made.directory)}")


def add_slurm(commands: Commands) -> None:
    """``slurm SCRIPT``: write and submit the batch script of a search."""
    what = "write a batch script that runs a search on Slurm, a chief and its workers, and submit it"
    parser = commands.add_parser("slurm", help=what, description=what.capitalize() + ".")
    parser.add_argument("script", metavar="SCRIPT", help="calls tuner.search; what follows -- are its arguments")
    parser.add_argument("--workers", type=int, required=True, metavar="N", help="how many")
    parser.add_argument("--gpus-per-worker", type=int, default=0, metavar="G", help="GPUs of each worker (0)")
    parser.add_argument("--cpus-per-worker", type=int, metavar="C", help="cores of each worker")
    parser.add_argument("--time", metavar="T", help="limit of one run; the search goes on in another (the partition's)")
    parser.add_argument("--partition", metavar="P", help="where it runs (Slurm's default)")
    parser.add_argument("--job-name", metavar="J", help="name of the job, its batch script and its logs (SCRIPT's)")
    parser.add_argument("--directory", default=".", metavar="D", help="for the batch script and the logs (.)")
    parser.add_argument(
        "--sbatch-option",
        action="append",
        default=[],
        metavar="O",
        help="a further option of sbatch, e.g. --sbatch-option=--account=physics; may be repeated",
    )
    parser.add_argument("--python", metavar="PY", help="the interpreter (the one that runs this)")
    parser.add_argument("--dry-run", action="store_true", help="print the batch script, and do nothing")
    parser.set_defaults(run=_submit_to_slurm, takes_arguments=True)


def _submit_to_slurm(options: argparse.Namespace) -> None:
    from kt_ext.execution.sbatch import BatchJob, submit

    try:
        job = BatchJob(
            options.script,
            options.arguments,
            workers=options.workers,
            gpus_per_worker=options.gpus_per_worker,
            cpus_per_worker=options.cpus_per_worker,
            time=options.time,
            partition=options.partition,
            name=options.job_name,
            directory=options.directory,
            options=options.sbatch_option,
            python=options.python,
        )
        if options.dry_run:
            print(job.text(), end="")
        else:
            print(submit(job.write()))
    except (OSError, ValueError, RuntimeError) as error:
        raise SystemExit(f"python -m kt_ext slurm: {error}") from error


#: Each adds one command: a parser whose default ``run`` is called with the options.
COMMANDS: tuple[Callable[[Commands], None], ...] = (
    add_report,
    add_watch,
    add_best,
    add_export,
    add_resume,
    add_credentials,
    add_slurm,
)


if __name__ == "__main__":
    main()
