"""``executor="ray"``: a population trained by two actors of a real Ray, in a network of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from execution.test_ray_workers import own_network
from imports import ROOT
from kt_ext.core.journal import Journal

SCRIPT = """
import json, os, pathlib, sys, time, kt_ext
from tuners.searches import build, data
class Tuner(kt_ext.PBTTuner):
    def on_search_begin(self):  # neither begins before both are there
        there = pathlib.Path(self.directory)
        (there / f"{os.environ['KERASTUNER_TUNER_ID']}.begun").touch()
        while len(list(there.glob("*.begun"))) < 2:
            time.sleep(0.05)
tuner = Tuner(lambda hp: build(hp), "val_loss", population_size=4, max_epochs=4, perturbation_interval=2,
                        quantile_fraction=0.5, seed=0, executor="ray", workers=2,
                        directory=sys.argv[1], project_name="p")
tuner.search(**data(), verbose=0)
loss = tuner.get_best_models()[0].evaluate(*data()["validation_data"], verbose=0, return_dict=True)["loss"]
print(json.dumps({"taken": len(tuner.lineage()), "score": tuner.oracle.get_best_trials()[0].score, "loss": loss}))
"""


@pytest.mark.ray
@pytest.mark.nightly
def test_a_population_on_ray(tmp_path: Path) -> None:
    if importlib.util.find_spec("ray") is None:
        pytest.skip('Ray is not installed; run: pip install "kt_ext[ray]"')
    environment = {**os.environ, "RAY_worker_niceness": "0", "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    for name in ("RAY_ADDRESS", "CUDA_VISIBLE_DEVICES"):  # the cases say which GPUs there are
        environment.pop(name, None)
    command = [*own_network(), sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    events = [event for _, event in Journal.read(tmp_path / "p" / "journal.jsonl")]
    told = sorted((event["trial"], event["epoch"]) for event in events if event["e"] == "tell")
    assert told == [(member, epoch) for member in range(4) for epoch in range(1, 5)]
    assert {event["worker"] for event in events if event.get("worker")} == {"worker-0", "worker-1"}
    assert found["taken"] >= 1
    assert found["loss"] == pytest.approx(found["score"], abs=1e-5)
