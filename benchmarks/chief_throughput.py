"""How many decisions a chief makes: trials without training, over real gRPC, with a journal that survives a power cut.

    python benchmarks/chief_throughput.py --clients 1 8 32 --trials 300

Three chiefs, each in a process of its own, in turn: ours, ours with TLS and a token, and Keras Tuner's (random search;
it keeps nothing that survives a power cut). As many clients as said, each a thread with a connection of its own in one
other process, ask for a trial of one epoch, report it and end it, until no trials are left: three calls for a trial.

Columns: trials per second; milliseconds of a call, half of them and 99 % under; for ours, how many times the chief
waited for the disk per trial, how long each took, and which part of the run that is. The journal is in TMPDIR, which
should be a true disk: the first line says what the disk does alone.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = Path(__file__).parents[1]
CHIEFS = ("kt_ext", "kt_ext TLS", "keras_tuner")
_START_SECONDS = 120.0


def oracle_of(kind: str, trials: int) -> Any:
    """An oracle of two hyperparameters whose trials take one epoch."""
    import keras_tuner

    import kt_ext

    hp = keras_tuner.HyperParameters()
    hp.Float("learning_rate", 1e-4, 1e-1, sampling="log")
    hp.Int("units", 16, 256)
    objective = keras_tuner.Objective("loss", "min")
    if kind == "keras_tuner":
        made = keras_tuner.oracles.RandomSearchOracle(objective, max_trials=trials, hyperparameters=hp, seed=1)
    else:
        scheduler = kt_ext.schedulers.FIFO(max_trials=trials, max_epochs=1)
        made = kt_ext.oracles.SchedulerOracle(scheduler, objective=objective, hyperparameters=hp, seed=1)
    made.verbose = 0
    return made


def lead(kind: str, trials: int, disk_ms: float, port: int, directory: str) -> dict[str, Any]:
    """Serve until the search is over: how often the disk was waited for, and how long. Keras Tuner's never ends."""
    oracle = oracle_of(kind, trials)
    oracle._set_project_dir(directory, "project")
    if kind == "keras_tuner":
        from keras_tuner.src.distribute import oracle_chief

        os.environ |= {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(port)}
        oracle_chief.start_server(oracle)
        return {}
    from kt_ext.core import journal
    from kt_ext.execution import Chief
    from kt_ext.execution.credentials import from_environment

    syncs: list[float] = []
    sync_data = journal._sync_data

    def timed(fd: int) -> None:
        begin = time.perf_counter()
        sync_data(fd)
        time.sleep(max(0.0, begin + 1e-3 * disk_ms - time.perf_counter()))
        syncs.append(time.perf_counter() - begin)

    journal._sync_data = timed
    with Chief(oracle, port=port, credentials=from_environment()) as chief:
        chief.wait()
    return {"syncs": len(syncs), "sync_seconds": sum(syncs)}


def drive(kind: str, clients: int, port: int) -> dict[str, Any]:
    """All clients until no trials are left; trials, seconds and the milliseconds of each call."""
    import numpy as np

    oracle = oracle_of(kind, 1)
    address = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(port)}
    milliseconds: list[float] = []
    trials = 0
    lock = threading.Lock()

    def connect(name: str) -> Any:
        os.environ.update(address, KERASTUNER_TUNER_ID=name)
        if kind == "keras_tuner":
            from keras_tuner.src.distribute import oracle_client

            return oracle_client.OracleClient(oracle)
        from kt_ext.execution import ChiefClient

        return ChiefClient(oracle)

    def work(client: Any) -> None:
        nonlocal trials
        took: list[float] = []
        done = 0

        def timed(call: Any, *args: Any, **kwargs: Any) -> Any:
            begin = time.perf_counter()
            answer = call(*args, **kwargs)
            took.append(1e3 * (time.perf_counter() - begin))
            return answer

        while True:
            trial = timed(client.create_trial, client.tuner_id)
            if trial.status == "STOPPED":
                break
            if trial.status == "IDLE":
                time.sleep(0.01)
                continue
            timed(client.update_trial, trial.trial_id, {"loss": 1.0}, step=1)
            trial.status = "COMPLETED"
            timed(client.end_trial, trial)
            done += 1
        with lock:
            milliseconds.extend(took)
            trials += done

    made = [connect(f"client{number}") for number in range(clients)]
    for client in made:
        client.get_space()  # connected, before the clock starts
    threads = [threading.Thread(target=work, args=(client,)) for client in made]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begin
    for client in made:
        if kind != "keras_tuner":
            client.close()
    half, most = np.percentile(milliseconds, [50, 99])
    return {"trials": trials, "seconds": seconds, "p50": half, "p99": most}


def run(chief: str, clients: int, trials: int, disk_ms: float) -> dict[str, Any]:
    """One chief with so many clients, each side in a process of its own."""
    kind = chief.split()[0]
    with tempfile.TemporaryDirectory() as directory, socket.socket() as sock:
        env = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"}
        env.pop("KT_EXT_CREDENTIALS", None)
        if chief.endswith("TLS"):
            from kt_ext.execution.credentials import create

            env["KT_EXT_CREDENTIALS"] = create(f"{directory}/credentials").directory
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        sock.close()
        command = [sys.executable, __file__, "--call"]
        call = json.dumps(["lead", kind, trials, disk_ms, port, directory])
        leader = subprocess.Popen([*command, call], stdout=subprocess.PIPE, text=True, env=env)
        try:
            _until_it_listens(port, leader)
            driven = subprocess.run(
                [*command, json.dumps(["drive", kind, clients, port])], stdout=subprocess.PIPE, text=True, env=env,
                check=True,
            )  # fmt: skip
            result = json.loads(driven.stdout.splitlines()[-1])
            if kind != "keras_tuner":
                result |= json.loads(leader.communicate()[0].splitlines()[-1])
            return result
        finally:
            leader.kill()
            leader.wait()


def raw_sync(directory: str, lines: int = 200) -> float:
    """Milliseconds that appending 300 bytes and waiting for the disk take, without anything else."""
    from kt_ext.core.journal import _sync_data

    path = os.path.join(directory, "raw")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    begin = time.perf_counter()
    for _ in range(lines):
        os.write(fd, b"x" * 299 + b"\n")
        _sync_data(fd)
    os.close(fd)
    os.unlink(path)
    return 1e3 * (time.perf_counter() - begin) / lines


def _until_it_listens(port: int, leader: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while leader.poll() is None and time.monotonic() < deadline:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"the chief does not listen (exit code {leader.poll()})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--disk-ms", type=float, default=0.0, help="play a disk that takes at least so long to sync")
    parser.add_argument("--chiefs", nargs="+", choices=CHIEFS, default=list(CHIEFS))
    parser.add_argument("--call", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.call:
        name, *rest = json.loads(args.call)
        print(json.dumps(globals()[name](*rest)), flush=True)
        return
    with tempfile.TemporaryDirectory() as directory:
        print(f"the disk alone: {raw_sync(directory):.2f} ms for a line and its sync; load {os.getloadavg()[0]:.1f}")
    print(f"{'chief':12} {'clients':>7} {'trials/s':>8} {'p50 ms':>7} {'p99 ms':>7} {'syncs/trial':>11} {'ms/sync':>7} "
          f"{'syncing':>7} {'load':>5}")  # fmt: skip
    for clients in args.clients:
        for chief in args.chiefs:
            found = run(chief, clients, args.trials, args.disk_ms)
            row = [f"{chief:12} {clients:7} {found['trials'] / found['seconds']:8.1f}"]
            row += [f"{found['p50']:7.1f} {found['p99']:7.1f}"]
            if "syncs" in found:
                row += [f"{found['syncs'] / found['trials']:11.2f} {1e3 * found['sync_seconds'] / found['syncs']:7.2f}"]
                row += [f"{found['sync_seconds'] / found['seconds']:7.0%}"]
            else:
                row += [" " * 27]
            print(*row, f"{os.getloadavg()[0]:5.1f}", flush=True)


if __name__ == "__main__":
    main()
