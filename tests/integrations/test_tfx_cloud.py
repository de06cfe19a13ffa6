"""TFX's Google Cloud executor, chief and workers, on this machine's loopback; run by ``make tfx``.

Two processes do what the containers of a job on Vertex AI, or its forerunner AI Platform, are told to: run TFX's
``_WorkerExecutor``, which finds its place in CLUSTER_SPEC. The first one's also starts the chief, as a fork of itself.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from imports import ROOT
from kt_ext.core.lineage import Schedule
from kt_ext.execution.credentials import CREDENTIALS, create
from kt_ext.reports.record import SearchRecord, read

pytestmark = pytest.mark.tfx
EXECUTOR = "tfx.extensions.google_cloud_ai_platform.tuner.executor._WorkerExecutor"
MODULE = Path(__file__).with_name("tfx_cloud_module.py")
MEMBERS, EPOCHS = 4, 6
DEADLINE_SECONDS = 900


class Job(NamedTuple):
    """A job's artifacts, as TFX's commands have them, and its files."""

    inputs: str
    outputs: str
    root: Path


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """The wines of the example pipeline as TFX's examples."""
    pytest.importorskip("tfx")
    from tfx.types import artifact_utils, standard_artifacts

    examples = standard_artifacts.Examples()
    examples.uri = str(tmp_path / "examples")
    examples.split_names = artifact_utils.encode_split_names(["train", "eval"])
    for split in ("train", "eval"):
        write_wines(Path(*artifact_utils.get_split_uris([examples], split)), split)
    best, results = standard_artifacts.HyperParameters(), standard_artifacts.TunerResults()
    best.uri, results.uri = str(tmp_path / "best"), str(tmp_path / "results")
    outputs = {"best_hyperparameters": [best], "tuner_results": [results]}
    for (artifact,) in outputs.values():
        Path(artifact.uri).mkdir()
    return Job(
        artifact_utils.jsonify_artifact_dict({"examples": [examples]}),
        artifact_utils.jsonify_artifact_dict(outputs),
        tmp_path,
    )


def write_wines(directory: Path, split: str) -> None:
    """Every third wine is one to evaluate by."""
    import tensorflow as tf
    from sklearn.datasets import load_wine

    x, y = load_wine(return_X_y=True)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    chosen = [i for i in range(len(x)) if (i % 3 == 0) == (split == "eval")]
    directory.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(directory / "wines-00000-of-00001.gz"), "GZIP") as writer:
        for i in chosen:
            features = {f"x{k}": tf.train.Feature(float_list={"value": [value]}) for k, value in enumerate(x[i])}
            features["label"] = tf.train.Feature(int64_list={"value": [y[i]]})
            writer.write(tf.train.Example(features={"feature": features}).SerializeToString())


def machine(
    job: Job, cluster_spec: dict[str, Any], config: dict[str, Any], **environment: str
) -> subprocess.Popen[str]:
    """A machine of the job, with the command that TFX gives to its container (google_cloud_ai_platform/runner.py)."""
    properties = {
        "module_file": str(MODULE),
        "train_args": json.dumps({"num_steps": 8}),
        "eval_args": json.dumps({"num_steps": 4}),
        "tune_args": json.dumps({"num_parallel_trials": 2}),
        "custom_config": json.dumps({"population_size": MEMBERS, "max_epochs": EPOCHS, **config}),
    }
    command = [sys.executable, "-m", "tfx.scripts.run_executor", "--executor_class_path", EXECUTOR]
    command += ["--inputs", job.inputs, "--outputs", job.outputs, "--exec-properties", json.dumps(properties)]
    log = job.root / f"{cluster_spec['task']['type']}.log"
    with log.open("w") as file:
        return subprocess.Popen(
            command,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(map(str, [ROOT, ROOT / "examples" / "tfx"])),
                "CUDA_VISIBLE_DEVICES": "",
                "TF_CPP_MIN_LOG_LEVEL": "2",
                "CLUSTER_SPEC": json.dumps(cluster_spec),
                **environment,
            },
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
        )


def run(job: Job, pools: tuple[str, str], configs: list[dict[str, Any]], **environment: str) -> list[int]:
    """The exit codes of the two machines; the primary one's waits for its chief."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    cluster = {pools[0]: [f"127.0.0.1:{port}"], pools[1]: ["127.0.0.1:1"]}  # nobody calls a worker
    machines = [
        machine(job, {"cluster": cluster, "task": {"type": pool, "index": 0}}, config, **environment)
        for pool, config in zip(pools, configs, strict=True)
    ]
    try:
        return [each.wait(DEADLINE_SECONDS) for each in machines]
    finally:
        for each in machines:
            each.kill()


def logs(job: Job) -> str:
    return "\n".join(f"{path.name}:\n{path.read_text()[-6000:]}" for path in sorted(job.root.glob("*.log")))


def check(job: Job, record: SearchRecord, workers: set[str]) -> None:
    """Both trained, the search came to its end, and the chief wrote what the Trainer reads."""
    assert [(trial.status, trial.epochs[-1]) for trial in record.trials] == [("done", EPOCHS)] * MEMBERS
    assert {stretch.worker for trial in record.trials for stretch in trial.stretches} == workers
    best = json.loads((job.root / "best" / "best_hyperparameters.txt").read_text())
    found = Schedule.from_json(best["values"]["kt_ext/schedule"])
    assert (found.stretches[0].begin, found.epochs) == (0, EPOCHS)
    assert all(stretch.live for stretch in found.stretches)  # the fork has built the model
    rows = json.loads((job.root / "results" / "tuner_results.json").read_text())
    assert [row["trial_id"] for row in rows] == [trial.name for trial in record.ranked()]
    assert [row["score"] for row in rows] == [record.score(trial)[0] for trial in record.ranked()]


def test_a_population_in_a_shared_directory(job: Job) -> None:
    """As on Vertex AI; the chief serves at 0.0.0.0, so by TLS."""
    create(job.root / "credentials")
    config = {"directory": str(job.root / "search"), "meeting": str(job.root / "meeting")}
    codes = run(
        job,
        ("workerpool0", "workerpool1"),
        [config, config],
        **{CREDENTIALS: str(job.root / "credentials")},
    )
    assert codes == [0, 0], logs(job)
    record = read(job.root / "search" / "population")
    check(job, record, {"tfx-tuner-workerpool0-0", "tfx-tuner-workerpool1-0"})


def test_machines_that_share_their_checkpoints_only(job: Job) -> None:
    """As on AI Platform, each machine with a directory of its own."""
    create(job.root / "credentials")
    shared = {"checkpoint_directory": str(job.root / "checkpoints"), "meeting": str(job.root / "meeting")}
    configs = [{"directory": str(job.root / name), **shared} for name in ("first", "second")]
    codes = run(job, ("master", "worker"), configs, **{CREDENTIALS: str(job.root / "credentials")})
    assert codes == [0, 0], logs(job)
    check(job, read(job.root / "first" / "population"), {"tfx-tuner-master-0", "tfx-tuner-worker-0"})
