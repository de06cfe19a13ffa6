"""Small matrices in one thread: several that wait for each other take longer, many times so on a busy machine."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any


@cache
def _controller() -> Any:
    import scipy.linalg  # noqa: F401  # only a library that is loaded is found, and scipy may bring one of its own
    from threadpoolctl import ThreadpoolController  # scikit-learn brings it

    return ThreadpoolController()


def one_thread() -> AbstractContextManager[Any]:
    """A context in which linear algebra takes one thread. It also makes results the same on any number of cores."""
    return _controller().limit(limits=1, user_api="blas")
