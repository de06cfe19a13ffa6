"""What worker processes gain and cost on this machine, and how soon a lost trial is offered again.

    python benchmarks/workers.py --seeds 0 1 2

The search is ASHA over the 17k-parameter CNN of ``examples/digits_asha.py``: in this process, with one worker process
and with two, in turn for each seed, beside a bare ``import tensorflow, keras_tuner``. "In training" leaves out the
start-up: it counts a process from the first time that it asks for a trial, and the chief from then on, too.

epochs/s    reported, from the moment when each worker has made a report to the last report of the search
CPU s, ms   in training, of the whole process tree, and per epoch; "chief s" is what the process with the oracle used
start-up    of one worker process, from its start to its first request for a trial: wall and CPU seconds

Then a worker that sleeps over its trial is killed (SIGKILL) or frozen (SIGSTOP), and the time until its trial is
offered again is printed, for a frozen one in units of the lease, which begins at its last heartbeat.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = Path(__file__).parents[1]
BATCH_SIZE, MAX_EPOCHS = 64, 9
LEASE_SECONDS, HEARTBEAT_SECONDS = 3.0, 0.5
LOSSES = 4  # of each kind, in turn of the two workers: a trial that loses three is not offered again
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_of(pid: int) -> float:
    """CPU seconds of another process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def after(owner: Any, name: str, then: Callable[..., None]) -> None:
    """Have each call of a method followed by ``then``, with the same arguments."""
    original = getattr(owner, name)

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        then(*args, **kwargs)
        return result

    setattr(owner, name, wrapper)


def search(workers: int, seed: int, trials: int, directory: str) -> dict[str, Any]:
    """One search with so many worker processes, 0 for none."""
    import kt_ext
    from examples.digits_asha import build, digits
    from kt_ext.execution.slot import Slot
    from kt_ext.oracles import SchedulerOracle

    started: dict[str, tuple[int, float]] = {}  # by worker id: process and when
    asked: dict[str, tuple[float, float]] = {}  # by worker id: wall and CPU seconds to its first request
    latest: dict[int, float] = {}  # CPU seconds of each worker process at the last look
    cpu: list[float] = []  # of this process at each request
    reports: list[tuple[float, str]] = []

    def on_start(slot: Slot) -> None:
        assert slot.pid is not None
        started[slot.worker_id] = slot.pid, time.perf_counter()

    def on_request(oracle: SchedulerOracle, worker: str) -> None:
        cpu.append(time.process_time())
        for pid, _ in started.values():
            with contextlib.suppress(FileNotFoundError):  # it is done
                latest[pid] = cpu_of(pid)
        if worker in started and worker not in asked:
            pid, begin = started[worker]
            asked[worker] = time.perf_counter() - begin, latest[pid]

    def on_report(oracle: SchedulerOracle, trial_id: str, metrics: Any, step: int) -> None:
        worker = next(name for name, trial in oracle.ongoing_trials.items() if trial.trial_id == trial_id)
        reports.append((time.perf_counter(), worker))

    after(Slot, "start", on_start)
    after(SchedulerOracle, "create_trial", on_request)
    after(SchedulerOracle, "update_trial", on_report)
    (x, y), validation, _ = digits()
    where: dict[str, Any] = {"executor": "process", "workers": workers} if workers else {"executor": "serial"}
    tuner = kt_ext.ASHATuner(
        build, "val_accuracy", max_epochs=MAX_EPOCHS, max_trials=trials, seed=seed, directory=directory, **where
    )
    tuner.search(x, y, validation_data=validation, batch_size=BATCH_SIZE, verbose=0)
    first = {worker: index for index, (_, worker) in reversed(list(enumerate(reports)))}
    ready = max(first.values())
    return {
        "epochs": len(reports),
        "rate": (len(reports) - 1 - ready) / (reports[-1][0] - reports[ready][0]),
        "cpu": cpu[-1] - cpu[0] + sum(latest.values()) - sum(start_up for _, start_up in asked.values()),
        "chief": cpu[-1] - cpu[0],
        "best": tuner.oracle.get_best_trials(1)[0].score,
        "startup": list(asked.values()),
    }


def losses(number: int, directory: str) -> dict[str, Any]:
    """Seconds from a signal to a worker until its trial is offered again."""
    import kt_ext
    from kt_ext.execution.slot import Slot
    from kt_ext.oracles import SchedulerOracle

    over = Path(directory) / "over"

    class Sleeping(kt_ext.SchedulerTuner):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> None:
            while not over.exists():
                time.sleep(0.05)
            self.report(trial, 1, {"loss": 1.0})

    pids: dict[str, int | None] = {}
    given: queue.Queue[str] = queue.Queue()
    released: queue.Queue[float] = queue.Queue()

    def on_request(oracle: SchedulerOracle, worker: str) -> None:
        if worker in oracle.ongoing_trials:
            given.put(worker)

    after(Slot, "start", lambda slot: pids.update({slot.worker_id: slot.pid}))
    after(SchedulerOracle, "create_trial", on_request)
    after(SchedulerOracle, "release", lambda oracle, trial_id, reason: released.put(time.perf_counter()))
    seconds: list[float] = []

    def strike() -> None:
        waiting = {given.get(), given.get()}
        for loss in range(LOSSES):
            victim = f"worker-{loss % 2}"
            assert victim in waiting
            pid = pids[victim]
            assert pid is not None
            begin = time.perf_counter()
            os.kill(pid, number)
            seconds.append(released.get() - begin)
            if number != signal.SIGKILL:
                os.kill(pid, signal.SIGKILL)
            assert given.get() == victim  # the next process in its place
        over.touch()

    threading.Thread(target=strike, daemon=True).start()
    scheduler = kt_ext.schedulers.FIFO(max_trials=2, max_epochs=1)
    tuner = Sleeping(
        None, scheduler, "random", "loss", hyperparameters=_one_rate(), directory=directory, executor="process",
        workers=2, lease_seconds=LEASE_SECONDS, heartbeat_seconds=HEARTBEAT_SECONDS,
    )  # fmt: skip
    tuner.search(verbose=0)
    return {"seconds": seconds}


def _one_rate() -> Any:
    import keras_tuner

    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 0.0, 1.0)
    return hp


def bare_import() -> tuple[float, float]:
    """Wall and CPU seconds of a process that imports TensorFlow and Keras Tuner."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", "import tensorflow, keras_tuner"], check=True, stderr=subprocess.DEVNULL)
    after_, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - begin
    return wall, after_.ru_utime + after_.ru_stime - before.ru_utime - before.ru_stime


def in_process(*call: Any) -> dict[str, Any]:
    """Run one of the above in a process of its own."""
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run(
            [sys.executable, __file__, "--call", json.dumps([*call, directory])],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--trials", type=int, default=81)
    parser.add_argument("--no-losses", action="store_true")
    parser.add_argument("--call", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.call:
        name, *rest = json.loads(args.call)
        print(json.dumps(globals()[name](*rest)))
        return
    print(f"{'workers':>7} {'seed':>4} {'epochs':>6} {'epochs/s':>8} {'CPU s':>7} {'chief s':>7} {'CPU ms':>7} "
          f"{'best':>7} {'start-up, s wall (CPU)':>23} {'load':>5}")  # fmt: skip
    gains, costs, starts = [], [], []
    for seed in args.seeds:
        bare = bare_import()
        print(f"{'':53} {'bare import':>7} {bare[0]:9.1f} ({bare[1]:.1f}) {os.getloadavg()[0]:9.1f}", flush=True)
        found = {}
        for workers in (0, 1, 2):
            one = found[workers] = in_process("search", workers, seed, args.trials)
            one["per_epoch"] = 1e3 * one["cpu"] / one["epochs"]
            up = ", ".join(f"{wall:.1f} ({cpu:.1f})" for wall, cpu in one["startup"])
            chief = one["chief"] if workers else 0.0
            row = [f"{workers or 'none':>7} {seed:4} {one['epochs']:6} {one['rate']:8.2f} {one['cpu']:7.1f}"]
            row += [f"{chief:7.1f} {one['per_epoch']:7.0f} {one['best']:7.4f} {up:>23} {os.getloadavg()[0]:5.1f}"]
            print(*row, flush=True)
        gains.append(found[2]["rate"] / found[1]["rate"])
        costs.append(found[1]["per_epoch"] / found[0]["per_epoch"])
        starts.append(found[1]["startup"][0][1] / bare[1])
    for what, ratios in (
        ("throughput, 2 workers over 1", gains),
        ("CPU per epoch, 1 worker over none", costs),
        ("CPU of a start-up over the bare import", starts),
    ):
        print(f"{what}: {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")
    if args.no_losses:
        return
    for number, unit, name in ((signal.SIGKILL, 1.0, "s"), (signal.SIGSTOP, LEASE_SECONDS, "leases")):
        took = [seconds / unit for seconds in in_process("losses", number)["seconds"]]
        print(
            f"{number.name} of a worker, until its trial is offered again: median {statistics.median(took):.3f} {name} "
            f"({min(took):.3f} to {max(took):.3f}; {len(took)} times, load {os.getloadavg()[0]:.1f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
