"""What ``import kt_ext`` costs beyond ``import keras_tuner``, in CPU seconds (user + system, all threads).

Both are measured in one process, one after the other: the difference between two processes would drown in the noise of
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
between = cpu_seconds()
import kt_ext
end = cpu_seconds()
print(between - start, end - between)
"""


def measure() -> tuple[float, float]:
    """CPU seconds of ``import keras_tuner`` and then of ``import kt_ext`` in a new Python."""
    done = subprocess.run([sys.executable, "-c", MEASURE], check=True, stdout=subprocess.PIPE, text=True)
    keras_tuner, kt_ext = done.stdout.split()
    return float(keras_tuner), float(kt_ext)


def main(repeats: int) -> None:
    measure()  # not counted: reads the files into memory and writes the byte code
    keras_tuner, kt_ext = zip(*(measure() for _ in range(repeats)), strict=True)
    print(f"CPU seconds, median of {repeats} runs (least to most)")
    for name, seconds in (("keras_tuner", keras_tuner), ("kt_ext after it", kt_ext)):
        print(f"{name:<16} {statistics.median(seconds):6.3f}   ({min(seconds):.3f} to {max(seconds):.3f})")


if __name__ == "__main__":
    main(repeats=int(sys.argv[1]) if len(sys.argv) > 1 else 7)
