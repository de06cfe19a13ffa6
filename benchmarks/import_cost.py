"""What ``import kt_ext`` costs beyond ``import keras_tuner``, in CPU seconds (user + system), each in a new process.

Run: python benchmarks/import_cost.py [repeats]
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys

STATEMENTS = ("import keras_tuner", "import kt_ext")


def cpu_seconds(statement: str) -> float:
    """User and system seconds of a new Python that runs ``statement``."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", statement], check=True, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(repeats: int) -> None:
    for statement in STATEMENTS:  # not counted: reads the files and writes the byte code
        cpu_seconds(statement)
    # The two take turns, so that a busy machine slows both alike.
    runs = [[cpu_seconds(statement) for statement in STATEMENTS] for _ in range(repeats)]
    keras_tuner, kt_ext = (statistics.median(column) for column in zip(*runs, strict=True))
    print(f"median CPU seconds of {repeats} runs")
    print(f"import keras_tuner  {keras_tuner:6.2f}")
    print(f"import kt_ext       {kt_ext:6.2f}")
    print(f"added by kt_ext     {kt_ext - keras_tuner:6.2f}   (at most 0.30)")


if __name__ == "__main__":
    main(repeats=int(sys.argv[1]) if len(sys.argv) > 1 else 7)
