"""A state with the journal position it stands for: a restart replays only what came after.

The journal alone holds everything; a snapshot that is absent or damaged costs time and nothing else.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from kt_ext.core.durable import FilePath, encode_json, seal, storage_errors, unseal, write_atomic
from kt_ext.core.journal import Position

_log = logging.getLogger("kt_ext")


def write_snapshot(path: FilePath, state: dict[str, Any], position: Position) -> None:
    """Replace the snapshot by ``state``, the fold of the journal's events up to ``position``.

    Call ``Journal.sync`` before: after a power cut a snapshot must not stand for lines that were lost.

    Raises:
        StorageError: the old snapshot is intact.
        TypeError: the state holds something that is not JSON; the old snapshot is intact.
    """
    body = b'{"offset":%d,"lines":%d,"state":%s' % (*position, encode_json(state).encode("ascii"))
    write_atomic(path, seal(body))


def read_snapshot(path: FilePath) -> tuple[dict[str, Any], Position] | None:
    """The state and its position; None if there is no snapshot, or, with one warning, if its checksum fails.

    Raises:
        StorageError: the file is there and cannot be read.
    """
    with storage_errors("read", path):
        try:
            with open(path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return None
    body = unseal(data)
    if body is None:
        _log.warning("%s: the snapshot is damaged and is ignored; the whole journal is replayed instead", path)
        return None
    record = json.loads(body + b"}")
    return record["state"], Position(record["offset"], record["lines"])
