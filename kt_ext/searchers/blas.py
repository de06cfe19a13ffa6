"""Small matrices in one thread: several threads that wait for each other take longer, many times so on a busy machine."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any


@cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController  # scikit-learn brings it

    return ThreadpoolController()


def one_thread() -> AbstractContextManager[Any]:
    """A context in which linear algebra takes one thread. It also makes results the same on any number of cores."""
    return _controller().limit(limits=1, user_api="blas")
