"""A TFX pipeline whose Tuner is population based training: python examples/tfx/pipeline.py ROOT

CsvExampleGen, StatisticsGen, SchemaGen, Tuner, Trainer and Pusher on scikit-learn's wines, run here by LocalDagRunner
with everything under ROOT. The pushed model is in ROOT/serving.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from module import COLUMNS, LABEL
from sklearn.datasets import load_wine
from tfx import v1 as tfx

MODULE = str(Path(__file__).with_name("module.py"))
TRAIN, EVAL = tfx.proto.TrainArgs(num_steps=8), tfx.proto.EvalArgs(num_steps=4)  # batches in an epoch


def write_table(path: Path) -> None:
    """Standardised columns and the class, one line for each of 178 wines."""
    x, y = load_wine(return_X_y=True)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    order = np.random.default_rng(0).permutation(len(x))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, LABEL])
        writer.writerows([*row, label] for row, label in zip(x[order].tolist(), y[order].tolist(), strict=True))


def pipeline(root: Path) -> tfx.dsl.Pipeline:
    """The six components."""
    examples = tfx.components.CsvExampleGen(input_base=str(root / "data"))
    statistics = tfx.components.StatisticsGen(examples=examples.outputs["examples"])
    schema = tfx.components.SchemaGen(statistics=statistics.outputs["statistics"])
    tuner = tfx.components.Tuner(
        module_file=MODULE,
        examples=examples.outputs["examples"],
        schema=schema.outputs["schema"],
        train_args=TRAIN,
        eval_args=EVAL,
        # A directory that lasts: TFX deletes its own, also after a failure, and this search goes on.
        custom_config={"directory": str(root / "search"), "population_size": 4, "max_epochs": 6},
    )
    trainer = tfx.components.Trainer(
        module_file=MODULE,
        examples=examples.outputs["examples"],
        schema=schema.outputs["schema"],
        hyperparameters=tuner.outputs["best_hyperparameters"],
        train_args=TRAIN,
        eval_args=EVAL,
    )
    pusher = tfx.components.Pusher(
        model=trainer.outputs["model"],
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(base_directory=str(root / "serving"))
        ),
    )
    return tfx.dsl.Pipeline(
        pipeline_name="wine",
        pipeline_root=str(root / "pipeline"),
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(str(root / "mlmd.db")),
        components=[examples, statistics, schema, tuner, trainer, pusher],
        enable_cache=False,
    )


def main() -> None:
    """Make the table and run the pipeline."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    root = parser.parse_args().root.resolve()
    write_table(root / "data" / "wine.csv")
    tfx.orchestration.LocalDagRunner().run(pipeline(root))
    print("pushed:", *sorted(str(path) for path in (root / "serving").iterdir()))


if __name__ == "__main__":
    main()
