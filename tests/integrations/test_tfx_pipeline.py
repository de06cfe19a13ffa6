"""A whole pipeline of TFX with a population in its Tuner; run by ``make tfx``, in an environment that has TFX."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from imports import ROOT
from kt_ext.core.lineage import Schedule

pytestmark = pytest.mark.tfx


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pipeline has run."""
    pytest.importorskip("tfx")
    root = tmp_path_factory.mktemp("pipeline")
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "tfx" / "pipeline.py"), str(root)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return root


def test_the_tuner_wrote_every_member(root: Path) -> None:
    (path,) = root.glob("pipeline/Tuner/tuner_results/*/tuner_results.json")
    rows = json.loads(path.read_text())
    assert {row["trial_id"] for row in rows} == {"0", "1", "2", "3"}
    assert [row["score"] for row in rows] == sorted(row["score"] for row in rows)
    assert (root / "search" / "population" / "journal.jsonl").exists()  # it lasts


def test_the_trainer_followed_the_schedule(root: Path) -> None:
    (best,) = root.glob("pipeline/Tuner/best_hyperparameters/*/best_hyperparameters.txt")
    (path,) = root.glob("pipeline/Trainer/model_run/*/followed.json")
    found = Schedule.from_json(json.loads(best.read_text())["values"]["kt_ext/schedule"])
    followed = json.loads(path.read_text())
    assert followed["epochs"] == found.epochs
    wanted = [one.values["learning_rate"] for one in found.stretches for _ in range(one.begin, one.end)]
    assert followed["learning_rates"] == pytest.approx(wanted, rel=1e-6)


def test_the_model_was_pushed(root: Path) -> None:
    (pushed,) = (root / "serving").iterdir()
    assert (pushed / "saved_model.pb").exists()
