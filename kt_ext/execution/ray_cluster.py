"""The Ray cluster that workers run on: the user's, or one of this machine for as long as it is needed.

Whoever can reach a Ray cluster can run code in it: it belongs into a network of its own, whatever credentials the chief
has.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

try:
    import ray
except ImportError as error:
    raise ImportError(f'executor="ray" needs Ray ({error}). Run: pip install "kt_ext[ray]"') from error

ADDRESS = "RAY_ADDRESS"
LOOPBACK = "127.0.0.1"


@contextmanager
def connected() -> Iterator[None]:
    """Be connected to Ray while the ``with`` block lasts.

    A Ray that is initialised already is used and left alone. Else it is the cluster that RAY_ADDRESS names, which is
    left at the end, or without that one started here, without a dashboard, which ends with the block.

    Raises:
        ConnectionError: there is no cluster at RAY_ADDRESS.
        ValueError: RAY_ADDRESS is one of Ray Client.
    """
    address = _named_address()
    if address is not None and address.startswith("ray://"):
        raise ValueError(
            f"{ADDRESS}={address!r}: the chief runs in this process, which Ray Client keeps outside of the cluster; "
            "run the script on a node of it, e.g. by `ray job submit`, with the address host:6379 or 'auto'"
        )
    if ray.is_initialized():
        yield
        return
    # What workers print is in their logs.
    if address is None:
        ray.init("local", include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
    else:
        ray.init(address, log_to_driver=False, logging_level=logging.WARNING)
    try:
        yield
    finally:
        ray.shutdown()


def address() -> str:
    """Where workers find a chief that runs in this process; it is also the address for the chief to serve at.

    It is this node's where the cluster has other nodes, or RAY_ADDRESS names one, as that may get others later; then
    the chief needs credentials. Else it is 127.0.0.1, and ``RayWorkers`` stay on this node.
    """
    others = any(node["Alive"] and node["NodeID"] != node_id() for node in ray.nodes())
    return ray.util.get_node_ip_address() if others or _named_address() else LOOPBACK


def node_id() -> str:
    """The node of this process."""
    return ray.get_runtime_context().get_node_id()


def room(num_cpus: float, num_gpus: float, node: str | None) -> int | None:
    """How many workers the cluster, as it is and were it idle, has room for; None if they need nothing.

    Args:
        num_cpus: of each worker.
        num_gpus: of each worker.
        node: the id of the only node that counts, None for all.
    """
    wanted = {name: number for name, number in (("CPU", num_cpus), ("GPU", num_gpus)) if number}
    if not wanted:
        return None
    return sum(
        # 1 / 0.1 and its like are to be whole
        min(int(entry["Resources"].get(name, 0) / number + 1e-9) for name, number in wanted.items())
        for entry in ray.nodes()
        if entry["Alive"] and node in (None, entry["NodeID"])
    )


def _named_address() -> str | None:
    named = os.environ.get(ADDRESS)
    return None if named in (None, "", "local") else named
