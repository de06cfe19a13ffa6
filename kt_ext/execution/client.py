"""A worker's side: Keras Tuner's oracle client, which finds a chief that is late, restarted, or somewhere else."""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import keras_tuner
from keras_tuner.src import protos
from keras_tuner.src.engine.trial import Trial

from kt_ext._version import __version__
from kt_ext.execution import refusals, wire
from kt_ext.execution.credentials import Credentials, from_environment
from kt_ext.execution.errors import ChiefError
from kt_ext.execution.identity import search_of

_log = logging.getLogger("kt_ext")
_log = logging.getLogger("kt_ext")
PATIENCE = "KT_EXT_CHIEF_PATIENCE"
_FIRST_PATIENCE_SECONDS, _PATIENCE_SECONDS = 3600.0, 600.0
_DEADLINE_SECONDS = 10.0
_GOODBYE_SECONDS = 2.0
_SILENT_SECONDS = 10.0  # of waiting for a chief before that is said
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # seconds between tries
# gRPC itself would wait up to two minutes before it looks for a chief again that was restarted.
_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.max_receive_message_length", -1),
    # It would obey http_proxy, even for the loopback address.
    ("grpc.enable_http_proxy", 0),
]
_AGAIN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


class ChiefClient:
    """What a worker's tuner has in place of its oracle. One for each process and search.

    Its calls wait for a chief that is not there yet or is being restarted, as long as its patience lasts: an hour at
    first, ten minutes later, or the seconds in the environment's KT_EXT_CHIEF_PATIENCE. From the first trial on a
    thread tells the chief that the worker is there, until ``close`` or the end of the process.

    Args:
        oracle: the tuner's, for its settings.
        worker_id: unlike any other worker's; None takes the environment's KERASTUNER_TUNER_ID.
        address: of the chief, ``host:port``; None takes KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT.
        credentials: None takes those in the directory KT_EXT_CREDENTIALS, or none where that is not set.

    Attributes:
        attempts: by trial id, how often the trial had been handed out when this worker got it.

    Raises:
        ValueError: the worker id cannot be sent, or the environment lacks what is needed.
    """

    def __init__(
        self,
        oracle: keras_tuner.Oracle,
        worker_id: str | None = None,
        address: str | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        self._oracle = oracle
        self.tuner_id = _setting("KERASTUNER_TUNER_ID") if worker_id is None else worker_id
        if not self.tuner_id or not self.tuner_id.isascii() or not self.tuner_id.isprintable():
            raise ValueError(
                f"worker_id={self.tuner_id!r}: must be printable ASCII; choose another KERASTUNER_TUNER_ID"
            )
        if address is None:
            host, port = _setting("KERASTUNER_ORACLE_IP"), _setting("KERASTUNER_ORACLE_PORT")
            address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.address = address
        self.attempts: dict[str, int] = {}
        # Keras Tuner's tuners set them where several processes train one trial together.
        self.multi_worker = False
        self.should_report = True
        self._credentials = from_environment() if credentials is None else credentials
        self._session = uuid.uuid4().hex
        self._metadata: list[tuple[str, str | bytes]] = [(wire.WORKER, self.tuner_id), (wire.SESSION, self._session)]
        options = list(_OPTIONS)
        if self._credentials is None:
            self._channel = grpc.insecure_channel(address, options)
        else:
            self._metadata.append((wire.AUTHORIZATION, f"Bearer {self._credentials.token}"))
            options += self._credentials.channel_options()
            self._channel = grpc.secure_channel(address, self._credentials.channel(), options)
        self._stub = protos.get_service_grpc().OracleStub(self._channel)
        self._say = self._channel.unary_unary(f"/{wire.SERVICE}/{wire.METHOD}")
        self._met = False
        self._heart: threading.Thread | None = None
        self._stop = threading.Event()
        self._refused: ChiefError | None = None  # what the heart was told

    @property
    def objective(self) -> Any:
        """The oracle's."""
        return self._oracle.objective

    @property
    def max_trials(self) -> int:
        """The oracle's."""
        return self._oracle.max_trials

    @property
    def allow_new_entries(self) -> bool:
        """The oracle's."""
        return self._oracle.allow_new_entries

    @property
    def tune_new_entries(self) -> bool:
        """The oracle's."""
        return self._oracle.tune_new_entries

    @property
    def verbose(self) -> Any:
        """The oracle's."""
        return self._oracle.verbose

    @verbose.setter
    def verbose(self, value: Any) -> None:
        self._oracle.verbose = value

    # What a tuner calls. All raise ChiefError; those about a trial of this worker's LostTrial, too.

    def get_space(self) -> keras_tuner.HyperParameters:
        """The search space as the chief knows it."""
        response, _ = self._call(self._stub.GetSpace, protos.get_service().GetSpaceRequest())
        return keras_tuner.HyperParameters.from_proto(response.hyperparameters)

    def update_space(self, hyperparameters: keras_tuner.HyperParameters) -> None:
        """Add hyperparameters that a build asked for."""
        if self.should_report:
            request = protos.get_service().UpdateSpaceRequest(hyperparameters=hyperparameters.to_proto())
            self._call(self._stub.UpdateSpace, request)

    def create_trial(self, tuner_id: str) -> Trial:
        """The next trial for this worker. ``tuner_id`` must be its own."""
        self._hello()
        request = protos.get_service().CreateTrialRequest(tuner_id=tuner_id)
        response, call = self._call(self._stub.CreateTrial, request)
        trial = Trial.from_proto(response.trial)
        attempt = dict(call.trailing_metadata() or ()).get(wire.ATTEMPT)
        if attempt is not None:
            self.attempts[trial.trial_id] = int(attempt)
        return trial

    def update_trial(self, trial_id: str, metrics: dict[str, float], step: int = 0) -> Trial:
        """Report one epoch; the Trial returned says what to do next. Raises ValueError as the oracle does."""
        if self.should_report:
            request = protos.get_service().UpdateTrialRequest(trial_id=trial_id, metrics=metrics, step=step)
            response, _ = self._call(self._stub.UpdateTrial, request, self._attempt(trial_id))
            if not self.multi_worker:
                return Trial.from_proto(response.trial)
        return Trial(self.get_space(), status="RUNNING")

    def end_trial(self, trial: Trial) -> None:
        """This worker is done with a trial. Its message goes along, the last 4,000 bytes of it."""
        if not self.should_report:
            return
        metadata = self._attempt(trial.trial_id)
        if trial.message:
            message = trial.message.encode("utf-8", "replace")[-wire.MESSAGE_BYTES :]
            metadata.append((wire.MESSAGE, message.decode("utf-8", "ignore").encode()))
        self._call(self._stub.EndTrial, protos.get_service().EndTrialRequest(trial=trial.to_proto()), metadata)

    def get_trial(self, trial_id: str) -> Trial:
        """A trial as the chief knows it. Raises ValueError for an unknown one."""
        response, _ = self._call(self._stub.GetTrial, protos.get_service().GetTrialRequest(trial_id=trial_id))
        return Trial.from_proto(response.trial)

    def get_best_trials(self, num_trials: int = 1) -> list[Trial]:
        """The best trials so far, best first."""
        request = protos.get_service().GetBestTrialsRequest(num_trials=num_trials)
        response, _ = self._call(self._stub.GetBestTrials, request)
        return [Trial.from_proto(trial) for trial in response.trials]

    def close(self, fatal: str | None = None) -> None:
        """Say good-bye, so that the chief need not wait for this worker. The next ``create_trial`` says hello again.

        Args:
            fatal: an error that every worker would meet: the chief ends the search with it.
        """
        if self._heart is None:
            return
        self._stop.set()
        self._heart.join(_DEADLINE_SECONDS)
        self._heart = None
        atexit.unregister(self.close)
        # Else it will be missed when its lease is over, or the chief is gone itself.
        with contextlib.suppress(grpc.RpcError):
            bye = {"do": "bye"} if fatal is None else {"do": "bye", "fatal": fatal[-wire.MESSAGE_BYTES :]}
            self._say(json.dumps(bye).encode(), timeout=_GOODBYE_SECONDS, metadata=self._metadata)

    # How

    def _attempt(self, trial_id: str) -> list[tuple[str, str | bytes]]:
        return [(wire.ATTEMPT, str(self.attempts.get(trial_id, 0)))]

    def _hello(self) -> None:
        if self._heart is not None:
            return
        began: float | None = None
        while True:
            try:
                hello = {"do": "hello", "search": search_of(self._oracle)}
                answer, _ = self._call(self._say, json.dumps(hello).encode())
                break
            except refusals.WorkerIdTaken as taken:
                # Who had the id may be dead and not missed yet: for one lease that is more likely than a second one.
                now = time.monotonic()
                began = now if began is None else began
                if now - began > taken.lease_seconds + _SHORTEST_PAUSE:
                    raise
                time.sleep(min(_LONGEST_PAUSE, taken.lease_seconds / 10))
        chief = json.loads(answer)
        if chief["version"] != __version__:
            _log.warning("the chief has kt_ext %s and this worker %s: give all the same", chief["version"], __version__)
        self._refused, self._stop = None, threading.Event()
        self._heart = threading.Thread(
            target=self._beat, args=(chief["heartbeat_seconds"], self._stop), name="kt_ext-heart", daemon=True
        )
        self._heart.start()
        atexit.register(self.close)

    def _beat(self, seconds: float, stop: threading.Event) -> None:
        while not stop.wait(seconds):
            try:
                self._say(b'{"do": "beat"}', timeout=min(_DEADLINE_SECONDS, 2 * seconds), metadata=self._metadata)
            except grpc.RpcError as error:
                if error.code() not in _AGAIN:  # a chief that is away may come back, and the next call says so
                    refused = refusals.told(error, self.address, self.tuner_id, self._credentials is not None)
                    self._refused = refused if isinstance(refused, ChiefError) else None

    def _call(
        self, method: Callable[..., Any], request: Any, metadata: Sequence[tuple[str, str | bytes]] = ()
    ) -> tuple[Any, Any]:
        """The response and the call; tries again while the chief is away."""
        if self._refused is not None:
            raise self._refused
        began, pause, told = time.monotonic(), _SHORTEST_PAUSE, False
        patience = _patience(_PATIENCE_SECONDS if self._met else _FIRST_PATIENCE_SECONDS)
        while True:
            try:
                response, call = method.with_call(  # type: ignore[attr-defined]
                    request, timeout=_DEADLINE_SECONDS, metadata=[*self._metadata, *metadata]
                )
                self._met = True
                return response, call
            except grpc.RpcError as error:
                refused = refusals.told(error, self.address, self.tuner_id, self._credentials is not None)
                if refused is not None:
                    raise refused from error
                if time.monotonic() - began > patience:
                    raise ChiefError(
                        f"no chief at {self.address} for {patience:g} seconds ({error.details()}): start it, check "
                        f"KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT, or raise {PATIENCE}"
                    ) from error
                if not told and time.monotonic() - began > _SILENT_SECONDS:
                    told = True
                    _log.warning("waiting for the chief at %s: %s", self.address, error.details())
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


def _setting(name: str) -> str:
    if name not in os.environ:
        raise ValueError(f"{name} is not in the environment: a worker needs it to find its chief; set it")
    return os.environ[name]


def _patience(seconds: float) -> float:
    text = os.environ.get(PATIENCE)
    if text is None:
        return seconds
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{PATIENCE}={text!r}: must be a number of seconds") from None
