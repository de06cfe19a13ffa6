"""The part of an oracle that writes: what is decided is on record before it is acted on, or nothing is decided."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from keras_tuner.engine import oracle as oracle_module

from kt_ext.core.durable import StorageError
from kt_ext.core.search import RUNNING, Event, Search
from kt_ext.oracles import resume
from kt_ext.oracles.budget import Budget
from kt_ext.oracles.clock import Stopwatch
from kt_ext.oracles.handouts import HandOuts
from kt_ext.oracles.progress import Progress
from kt_ext.oracles.project import ProjectFiles, check_directory
from kt_ext.oracles.trials import Trial, TrialFiles

if TYPE_CHECKING:
    from kt_ext.oracles.base import SchedulerOracle

Method = TypeVar("Method", bound=Callable[..., Any])


def exclusive(method: Method) -> Method:
    """One call at a time. Keras Tuner's ``synchronized`` keeps its lock for ever after an exception; this does not."""

    @functools.wraps(method)
    def locked(self: RecordedOracle, *args: Any, **kwargs: Any) -> Any:
        with self._exclusive:
            return method(self, *args, **kwargs)

    return locked  # type: ignore[return-value]


class RecordedOracle(oracle_module.Oracle):
    """The files of ``SchedulerOracle``: the journal, the snapshot, and what stock Keras Tuner reads.

    Attributes:
        clock: the seconds that the search has run, earlier sessions included.
        header: the first event of the search, empty before it began.
    """

    search: Search
    handed_out: HandOuts
    adopt_running: bool
    budget: Budget
    _display: Progress
    _interrupted: set[int]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._exclusive = threading.RLock()
        self.clock = Stopwatch()
        self.header: Event = {}
        self._files: ProjectFiles | None = None
        self._trial_files: TrialFiles | None = None
        self._unrecorded: str | None = None

    def _forget_writing(self) -> None:
        """Nothing is written yet of the search as it stands."""
        self._unwritten: set[str] = set()
        self._saved_lines = 0

    def _set_project_dir(self, directory: Any, project_name: str) -> None:
        check_directory(directory)
        super()._set_project_dir(directory, project_name)
        self._files = ProjectFiles(f"{directory}/{project_name}", self.clock, self.budget.limits())
        self._trial_files = TrialFiles(self._files.directory)

    @property
    def progress(self) -> Progress:
        """What the search says while it runs."""
        return self._display

    @property
    def files(self) -> ProjectFiles | None:
        """The project's files, None while no directory is set."""
        return self._files

    @property
    def _takes_reports(self) -> bool:
        """Whether this oracle leads the search: not before ``create_trial`` has taken the directory over."""
        return self._files is None or self._files.writing

    @property
    def lock(self) -> AbstractContextManager[bool]:
        """Held while something is decided; whoever holds it sees no change between two looks."""
        return self._exclusive

    @exclusive
    def begin(self) -> None:
        """Take the project directory now, rather than at the first decision; raises what ``create_trial`` raises."""
        self._begin_writing()

    def _begin_writing(self) -> None:
        """Take the project directory at the first decision, not before: reading results needs no lock."""
        self._check_in_step()
        begin = functools.partial(cast("SchedulerOracle", self)._begin_with, self.hyperparameters, read_now=True)
        if self._files is None:
            self.clock.start()
            begin()
        if self._takes_reports:
            return
        assert self._files is not None
        if not self._files.exists:
            begin()  # what is wrong with it is to be said before anything is written
        self._files.open()
        try:
            if self._files.lines:
                resume.load(cast("SchedulerOracle", self))
                kept = self._adopt() if self.adopt_running else set()
                self._interrupted &= kept
                for event in self.search.requeue_running(kept):
                    self._append(event)
                changes = resume.changes(cast("SchedulerOracle", self))
                if changes is not None:
                    self._append(changes)
                self._display.on_resume()
            else:
                begin()
                self._append(resume.header(cast("SchedulerOracle", self)))
        except BaseException:
            self._files.close()
            raise

    def _adopt(self) -> set[int]:
        """Give running trials back to their workers; returns the numbers of those whose worker is on record."""
        kept = set()
        for trial in self.trials.values():
            number = int(trial.trial_id)
            worker = self.handed_out.worker(number)
            is_out = self.search.where[number] == RUNNING and not self.handed_out.is_postponed(number)
            if is_out and worker is not None:
                self.ongoing_trials[worker] = trial
                self.tuner_ids.add(worker)
                kept.add(number)
        return kept

    @contextmanager
    def _recorded(self) -> Iterator[None]:
        """What is decided inside is on record at its end, or this oracle decides no more.

        Whatever the reason (a full disk, Ctrl-C), memory may then be ahead of the journal, which is the truth.
        """
        try:
            yield
        except BaseException as error:
            if self._files is not None and self._files.writing:
                self._unrecorded = str(error) if isinstance(error, StorageError) else repr(error)
                self._files.close()
            raise

    def _check_in_step(self) -> None:
        if self._unrecorded is not None:
            assert self._files is not None
            raise StorageError(
                f"{self._files.directory}: this search decides no more, since its last decision may not be on record "
                f"({self._unrecorded}); start the search again, it goes on from what is"
            )

    def _append(self, event: Event) -> None:
        if self._files is not None:
            self._files.append(event)
        self.handed_out.note(event)

    def _sync(self) -> None:
        if self._files is not None:
            self._files.sync()

    @exclusive
    def reload(self) -> None:
        """Take over the search in the project directory, to read its results or to go on.

        While this oracle leads the search there is nothing to take over.

        Raises:
            ValueError: space, objective, scheduler or seed are not those of that search; the message shows both.
            JournalDamaged: the journal cannot be trusted; the message names file and offset.
        """
        if self._files is not None and self._files.exists and not self._files.writing:
            resume.load(cast("SchedulerOracle", self))
            self._unrecorded = None

    @exclusive
    def save(self) -> None:
        """Write a snapshot, and ``oracle.json`` and ``trial.json`` as stock Keras Tuner reads them."""
        if self._files is None or not self._files.writing:
            return
        # First, and with those that a killed session may not have written: the next one looks after the snapshot only.
        for trial_id in sorted(self._unwritten):
            self._write_trial(self.trials[trial_id])
        for trial in self.ongoing_trials.values():
            self._write_trial(trial)
        self._files.snapshot(resume.state(cast("SchedulerOracle", self)))
        self._files.write_oracle(self.get_state())
        self._saved_lines = self._files.lines

    def _write_trial(self, trial: Trial) -> None:
        if self._trial_files is not None:
            self._trial_files.write(trial)
            self._unwritten.discard(trial.trial_id)

    @exclusive
    def finish(self) -> None:
        """Write everything, give the project directory back and show the end of the search.

        The next ``create_trial`` takes it again and goes on, from what is on record.
        """
        try:
            if self._files is not None and self._files.writing:
                try:
                    self.save()
                finally:
                    self._files.close()
        finally:
            self._unrecorded = None
            self.clock.stop()
            self._display.on_search_end()
