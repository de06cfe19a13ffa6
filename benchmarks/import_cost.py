"""What ``import kt_ext`` costs beyond ``import keras_tuner``, in CPU seconds (user + system, all threads).

kt_ext loads its public names when they are first used, so it is measured alone and with all of them. Everything is
measured in one process, one import after the other: the difference between two processes would drown in the noise of
importing the backend, which takes seconds. Each repeat is a new process.

Run: python benchmarks/import_cost.py [repeats]
"""

from __future__ import annotations

import statistics
import subprocess
import sys

MEASURE = """
import resource

def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime

start = cpu_seconds()
import keras_tuner
with_keras_tuner = cpu_seconds()
import kt_ext
with_kt_ext = cpu_seconds()
from kt_ext import *
with_names = cpu_seconds()
print(with_keras_tuner - start, with_kt_ext - with_keras_tuner, with_names - with_keras_tuner)
"""


ROWS = ("import keras_tuner", "import kt_ext", "from kt_ext import *")


def measure() -> list[float]:
    """CPU seconds of each row in a new Python; the last two come after keras_tuner."""
    done = subprocess.run([sys.executable, "-c", MEASURE], check=True, stdout=subprocess.PIPE, text=True)
    return [float(seconds) for seconds in done.stdout.split()]


def main(repeats: int) -> None:
    measure()  # not counted: reads the files into memory and writes the byte code
    columns = zip(*(measure() for _ in range(repeats)), strict=True)
    print(f"CPU seconds, median of {repeats} runs (least to most)")
    for row, seconds in zip(ROWS, columns, strict=True):
        print(f"{row:<22} {statistics.median(seconds):6.3f}   ({min(seconds):.3f} to {max(seconds):.3f})")


if __name__ == "__main__":
    main(repeats=int(sys.argv[1]) if len(sys.argv) > 1 else 7)
