"""The place of a tuner's checkpoints where that is not the project directory, but an object store or another disk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from kt_ext.core.durable import StorageError
from kt_ext.training.checkpoints import CheckpointStore
from kt_ext.training.storage import Place, check_writable, joined, storage_at

_TRIAL, _EXECUTION = re.compile(r"trial_.+"), re.compile(r"execution\d+")


class CheckpointPlace:
    """``<checkpoint_directory>/<project_name>``, with ``trial_0/execution0`` and so on in it.

    Args:
        checkpoint_directory: a path, or an address of an object store.
        project_name: as in Keras Tuner.

    Raises:
        ImportError: fsspec or the store's package is not installed.
        ValueError: the address is of no known protocol.
        StorageError: the store's package refuses it.
    """

    def __init__(self, checkpoint_directory: Place, project_name: str) -> None:
        self._given = checkpoint_directory
        self.place = joined(checkpoint_directory, project_name)
        try:
            self._storage = storage_at(self.place)
        except (ImportError, ValueError, StorageError) as error:
            raise type(error)(f"checkpoint_directory={checkpoint_directory!r}: {error}") from error

    def trial(self, trial_id: str) -> str:
        """Where the checkpoints of a trial are."""
        return joined(self.place, f"trial_{trial_id}")

    def clear(self) -> None:
        """Remove all checkpoints of the project. Raises StorageError."""
        with self._named():
            for store in self._stores():
                store.keep([])

    def prepare(self, begun: bool) -> None:
        """What must hold before anything is trained: it can be written to, and holds no other search's checkpoints.

        Args:
            begun: whether the search has trials already, whose checkpoints are here.

        Raises:
            StorageError: the store does not answer, or refuses.
            ValueError: there are checkpoints, and the search has not begun.
        """
        with self._named():
            check_writable(self._storage)
            foreign = not begun and any(store.epochs() for store in self._stores())
        if foreign:
            raise ValueError(
                f"checkpoint_directory={self._given!r}: {self.place} holds the checkpoints of another search; give "
                "overwrite=True to remove them, or another project_name or checkpoint_directory"
            )

    def _stores(self) -> Iterator[CheckpointStore]:
        for trial in filter(_TRIAL.fullmatch, self._storage.names()):
            for execution in filter(_EXECUTION.fullmatch, storage_at(joined(self.place, trial)).names()):
                yield CheckpointStore(joined(self.place, trial, execution))

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Say in errors which argument is meant."""
        try:
            yield
        except StorageError as error:
            raise StorageError(f"checkpoint_directory={self._given!r}: {error}") from error
