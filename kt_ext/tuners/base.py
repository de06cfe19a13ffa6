"""The tuner under all of ours: trains trials in segments, as its oracle decides."""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import keras
from keras_tuner.src.distribute import utils as dist_utils

from kt_ext.core.lock import ProjectLock
from kt_ext.execution import ChiefClient, ChiefError, LostTrial, slurm
from kt_ext.execution.gpus import visible_gpus
from kt_ext.oracles import SchedulerOracle
from kt_ext.oracles.project import LOCK, check_project_name
from kt_ext.oracles.rung_table import RungRow, rung_rows
from kt_ext.reports import tables
from kt_ext.training.data import ResumableData
from kt_ext.training.distribution import make_strategy
from kt_ext.training.recent import RecentFiles
from kt_ext.tuners import remote
from kt_ext.tuners.arguments import check_arguments, unknown_arguments
from kt_ext.tuners.checkpoint_place import CheckpointPlace
from kt_ext.tuners.models import TrialModels
from kt_ext.tuners.mutable import find_mutable
from kt_ext.tuners.placement import LAUNCHED, Placement
from kt_ext.tuners.screens import screen_of
from kt_ext.tuners.trials import Status, TrialTuner

if TYPE_CHECKING:
    import pandas

_log = logging.getLogger("kt_ext")


class SegmentTuner(TrialTuner):
    """A Keras Tuner tuner whose trials may pause and go on.

    Models of equal architecture share one compiled, traced model: initial weights are each trial's own, only the
    compilation is shared. Every epoch ends with a checkpoint, so that a killed search loses the epoch in flight alone.

    Args:
        oracle: a ``kt_ext`` oracle.
        hypermodel: as in Keras Tuner.
        max_model_size, optimizer, loss, metrics, executions_per_trial: as in ``keras_tuner.Tuner``.
        directory, project_name, overwrite, logger, tuner_id: as there.
        distribution_strategy: a ``tf.distribute.Strategy`` under which models are built and trained, or a function
            without arguments that makes one, called once, here or in each worker process, which get a function only.
            On JAX call ``keras.distribution.set_distribution`` before the search instead.
        share_models: whether trials of equal architecture share a compiled model; off, each is built and traced anew.
        executor: where trials are trained: ``"serial"`` (in this process), ``"process"`` (worker processes of this
            machine), ``"ray"`` (actors of a Ray cluster, or of a local Ray), ``"grpc"`` (this process is the chief or
            a worker by Keras Tuner's ``KERASTUNER_`` variables), ``"slurm"`` (by Slurm's, of a step with several
            tasks), or ``"auto"``: what the environment says, else ``"process"`` where ``workers`` or
            ``gpus_per_worker`` is given, or there are several GPUs and no distribution strategy, else ``"serial"``.
        workers: how many train at once: a number, or ``"gpus"``, as None, for as many as the GPUs have room for.
        gpus_per_worker: 1, 2, ..., a share such as 0.5, or 0 for none; None: 1 where there are GPUs.
        lease_seconds: a worker that was silent for so long has lost its trial, which goes on elsewhere.
        heartbeat_seconds: how often workers say that they are there; at most half of ``lease_seconds``.
        trial_timeout: a trial without a report for so many seconds has failed, and its process is replaced.
        checkpoint_directory: where checkpoints are written instead of into the project directory: a path, or an address
            of an object store such as ``"gs://bucket/run"``, for which fsspec and the store's package are needed.

    Raises:
        TypeError, ValueError: an argument is wrong, or the directory holds a search begun with other settings.
        ImportError, StorageError: ``checkpoint_directory`` cannot be used.
        ProjectLocked: ``overwrite=True`` while another process searches in this directory.
    """

    made_with: tuple[tuple[Any, ...], dict[str, Any]]  # the arguments of the constructor, of a subclass's too

    def __new__(cls, *args: Any, **kwargs: Any) -> SegmentTuner:
        self = super().__new__(cls)
        self.made_with = (args, kwargs)
        return self

    def __init__(
        self,
        oracle: SchedulerOracle,
        hypermodel: Any = None,
        *,
        max_model_size: int | None = None,
        optimizer: Any = None,
        loss: Any = None,
        metrics: Any = None,
        distribution_strategy: Any = None,
        directory: str | os.PathLike[str] | None = None,
        project_name: str | None = None,
        logger: Any = None,
        tuner_id: str | None = None,
        overwrite: bool = False,
        executions_per_trial: int = 1,
        share_models: bool = True,
        executor: str = "auto",
        workers: int | Literal["gpus"] | None = None,
        gpus_per_worker: float | None = None,
        lease_seconds: float = 30.0,
        heartbeat_seconds: float = 5.0,
        trial_timeout: float | None = None,
        checkpoint_directory: str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> None:
        check_arguments(oracle, max_model_size, executions_per_trial)
        if kwargs:
            raise TypeError(unknown_arguments(type(self), SegmentTuner, sorted(kwargs)))
        check_project_name(project_name)
        if hypermodel is None and type(self).run_trial is SegmentTuner.run_trial:
            raise ValueError(
                "hypermodel=None: must be given, unless a subclass of the tuner has a run_trial of its own"
            )
        self.placement = Placement(executor, workers, gpus_per_worker, lease_seconds, heartbeat_seconds, trial_timeout)
        on_all = distribution_strategy is not None or keras.distribution.distribution() is not None
        self.executor = self.placement.chosen(os.environ, visible_gpus, on_all)
        if self.executor == "serial" and trial_timeout is not None:
            _log.warning("trial_timeout=%g does nothing in a search in one process; give workers=1", trial_timeout)
        if self.executor in ("grpc", "slurm") and executor == "auto" and LAUNCHED not in os.environ:
            for name, value in (("workers", workers), ("gpus_per_worker", gpus_per_worker)):
                if value is not None:
                    _log.warning("%s=%r is not used: the cluster says how many workers there are", name, value)
        if self.executor != "serial":
            # Several processes may share a GPU, this one among them, which builds models, too.
            os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
            os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        if self.executor == "slurm":
            slurm.join(Path(directory or ".") / (project_name or "untitled_project"))
        elif self.executor in ("process", "ray"):
            remote.check_strategy(distribution_strategy)
            distribution_strategy = None
        # A worker never removes what the chief and the other workers have written, nor a job that is to go on.
        overwrite = overwrite and not self._is_worker() and not slurm.restarted(os.environ)
        self.checkpoints: CheckpointPlace | None = None
        if checkpoint_directory is not None:
            self.checkpoints = CheckpointPlace(checkpoint_directory, project_name or "untitled_project")
        if overwrite:
            _check_free(Path(directory or ".") / (project_name or "untitled_project"))
            if self.checkpoints is not None:
                self.checkpoints.clear()
        self._own_oracle = oracle
        self.models = TrialModels(share_models)
        self.recent = RecentFiles()
        self._data = ResumableData()
        super().__init__(
            oracle=oracle,
            hypermodel=hypermodel,
            max_model_size=max_model_size,
            optimizer=optimizer,
            loss=loss,
            metrics=metrics,
            distribution_strategy=make_strategy(distribution_strategy),
            directory=None if directory is None else os.fspath(directory),
            project_name=project_name,
            logger=logger,
            tuner_id=tuner_id,
            overwrite=overwrite,
            executions_per_trial=executions_per_trial,
        )
        if self._is_worker():
            self.oracle = ChiefClient(oracle)  # in place of Keras Tuner's

    def _populate_initial_space(self) -> None:
        if self._is_worker():
            return  # the chief tells it
        super()._populate_initial_space()
        if self.hypermodel is not None:
            self._own_oracle.beginning.completed(self._own_oracle.hyperparameters)  # say at once what is wrong
        # Keras Tuner reloads only where a tuner's file is; a search that was killed early left just its journal.
        self._own_oracle.reload()

    def reload(self) -> None:
        """Take over the search in the project directory; raises ValueError where the settings have changed since."""
        self._populate_initial_space()

    # The search

    def search(
        self,
        *fit_args: Any,
        verbose: int | str = 1,
        data_fn: Callable[[], Mapping[str, Any]] | None = None,
        **fit_kwargs: Any,
    ) -> None:
        """Search for the best hyperparameters, or go on with a search that was interrupted.

        Args:
            *fit_args, **fit_kwargs: what ``model.fit`` takes, except ``epochs`` and ``initial_epoch``.
            verbose: 0 is silent; 1 shows a live view in a terminal and in a notebook, and one line for each segment of
                a trial, in a log of many of them some; 2 shows Keras's epochs too.
            data_fn: makes further arguments of ``fit``, by name, in each process that trains: for what cannot be sent
                to one, such as a ``tf.data.Dataset``. E.g. ``lambda: {"x": dataset(), "validation_data": other()}``.

        Raises:
            TypeError: an argument cannot be sent to a worker process.
            ValueError: ``epochs`` or ``initial_epoch`` is given.
            StorageError: ``checkpoint_directory`` cannot be written to, before anything is trained.
            RuntimeError: ``max_consecutive_failed_trials`` trials in a row failed, or no worker process could train.
            ProjectLocked: another process searches in this directory.
        """
        for name in ("epochs", "initial_epoch"):
            if name in fit_kwargs:
                raise ValueError(
                    f"{name}={fit_kwargs[name]!r}: how long a trial trains is decided by the scheduler; "
                    "give max_epochs (and min_epochs) to the tuner instead"
                )
        verbose = 1 if verbose == "auto" else int(verbose)
        oracle = self._own_oracle
        if self.checkpoints is not None:
            self.checkpoints.prepare(begun=self._is_worker() or bool(oracle.trials))
        if not self._is_worker():
            self._declare(fit_args, fit_kwargs, data_fn, verbose)
            oracle.verbose = verbose
            oracle.progress.screen = screen_of(self.project_dir, verbose)
        self._fit_verbose = 2 if verbose >= 2 else 0
        if self._is_worker() and not isinstance(self.oracle, ChiefClient):
            self.oracle = ChiefClient(oracle)  # another search after the first
        leads = dist_utils.is_chief_oracle() or self.executor in ("process", "ray")
        fatal: str | None = None
        try:
            if dist_utils.is_chief_oracle():
                super().save()
                remote.serve(self)
            elif self.executor == "process":
                remote.search_in_processes(self, fit_args, {**fit_kwargs, "verbose": verbose, "data_fn": data_fn})
            elif self.executor == "ray":
                remote.search_on_ray(self, fit_args, {**fit_kwargs, "verbose": verbose, "data_fn": data_fn})
            else:
                self.on_search_begin()
                self._search_loop(fit_args, {**fit_kwargs, **remote.made(data_fn, fit_args, fit_kwargs)})
        except Exception as error:  # any that ends a search; the chief is told
            fatal = None if isinstance(error, ChiefError) else traceback.format_exc()
            raise
        finally:
            if not self._is_worker():
                oracle.finish()
            elif isinstance(self.oracle, ChiefClient):
                self.oracle.close(fatal)
                self.oracle = oracle
        if self._is_worker():
            oracle.reload()  # the chief is leaving: its results are in the project directory
        else:
            self._prune()
            super().save()
            self._raise_if_failing()
        if not leads:
            self.on_search_end()

    def _declare(self, fit_args: Any, fit_kwargs: Mapping[str, Any], data_fn: Any, verbose: int) -> None:
        """Find out once for each search which hyperparameters shape the model's variables, where that matters."""
        oracle = self._own_oracle
        if oracle.mutates and not oracle.declared:
            assert oracle.scheduler.explorer is not None
            given = {**fit_kwargs, **remote.made(data_fn, fit_args, fit_kwargs)}
            x = fit_args[0] if fit_args else given.get("x")
            found = find_mutable(self, oracle.scheduler.explorer.mutable, x, verbose)
            oracle.declare(found.structural, found.mutable)

    def _search_loop(self, fit_args: tuple[Any, ...], fit_kwargs: dict[str, Any]) -> None:
        pause = 0.05  # seconds, longer the longer nothing is to do
        while True:
            self.pre_create_trial()
            trial = self.oracle.create_trial(self.tuner_id)
            if trial.status == Status.STOPPED:
                return
            if trial.status == Status.IDLE:
                time.sleep(pause)
                pause = min(2 * pause, 2.0)
                continue
            pause = 0.05
            try:
                self.on_trial_begin(trial)
                self._try_run_and_update_trial(trial, *fit_args, **fit_kwargs)
                self.on_trial_end(trial)
            except LostTrial as lost:
                _log.warning("trial %s is left to another worker: %s", trial.trial_id, lost)

    def _raise_if_failing(self) -> None:
        oracle = self._own_oracle
        if oracle.scheduler.failure is not None:
            raise RuntimeError(f"{oracle.scheduler.failure}. What was trained is kept in {self.project_dir}")
        if oracle.failing:
            last = next(t for t in reversed([oracle.trials[i] for i in oracle.end_order]) if t.status == Status.FAILED)
            raise RuntimeError(
                f"{oracle.max_consecutive_failed_trials} trials failed in a row, so the search was ended; "
                f"the last, trial {last.trial_id}:\n{last.message or ''}"
            )

    # Results

    def pareto_front(self) -> list[Any]:
        """The trials that no other dominates, with ``multi_objective="pareto"``; see the oracle's ``pareto_front``."""
        return self._own_oracle.pareto_front()

    def results(self) -> pandas.DataFrame:
        """One row for each trial, best first: score, epochs, why it is not running, worker, times and hyperparameters.

        Read from the journal, also while workers search; see ``kt_ext.reports.tables.results`` for the columns and what
        it raises.
        """
        return tables.results(self)

    def history(self) -> pandas.DataFrame:
        """One row for each report: trial, epoch, seconds, objective, metrics; see ``kt_ext.reports.tables.history``."""
        return tables.history(self)

    def rung_table(self) -> list[RungRow]:
        """For each rung: its epochs, how many trials reached it, and the best objective there."""
        return rung_rows(self._own_oracle)


def _check_free(directory: Path) -> None:
    """Raises ProjectLocked while another process searches in ``directory``."""
    if directory.exists():
        lock = ProjectLock(directory / LOCK)
        lock.acquire()
        lock.release()
