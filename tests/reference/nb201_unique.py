"""When two cells of NAS-Bench-201 are the same, as its own code says: AutoDL-Projects, ``genotypes.py``,
``Structure.to_unique_str`` (Dong and Yang, 2020), transcribed.
"""

from __future__ import annotations

from itertools import pairwise


def unique(arch: str, consider_zero: bool) -> str:
    """A text that equal cells share; ``arch`` is the benchmark's text of a cell."""
    nodes = ["0"]
    for group in arch.split("+"):
        terms = []
        for word in group.strip("|").split("|"):
            op, source = word.split("~")
            before = nodes[int(source)]
            if consider_zero and (op == "none" or before == "#"):
                terms.append("#")
            elif op == "skip_connect":
                terms.append(before)
            else:
                terms.append("(" + before + ")@" + op)
        nodes.append("+".join(sorted(terms)))
    return nodes[-1]


def trainable_params(arch: str, cells: int = 5, filters: int = 16, classes: int = 10) -> int:
    """Weights of the benchmark's network: stem, three stacks with residual blocks between, and classifier."""
    kernels = {"nor_conv_1x1": 1, "nor_conv_3x3": 9}
    words = [word.split("~")[0] for group in arch.split("+") for word in group.strip("|").split("|")]
    widths = [filters, 2 * filters, 4 * filters]
    total = 27 * filters + 2 * filters
    for width in widths:
        total += cells * sum(kernels[op] * width**2 + 2 * width for op in words if op in kernels)
    for narrow, wide in pairwise(widths):
        total += 9 * narrow * wide + 2 * wide + 9 * wide**2 + 2 * wide + narrow * wide
    return total + 2 * widths[-1] + (widths[-1] + 1) * classes
