"""What a chief answers: Keras Tuner's own messages, guarded by token, session and attempt, and one method beside."""

from __future__ import annotations

import functools
import hmac
import json
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
from keras_tuner.src import protos
from keras_tuner.src.engine.hyperparameters import HyperParameters
from keras_tuner.src.engine.trial import Trial

from kt_ext._version import __version__
from kt_ext.core.durable import StorageError
from kt_ext.execution import wire
from kt_ext.execution.leases import Lease, WorkerTaken

if TYPE_CHECKING:
    from kt_ext.execution.chief import Chief

_log = logging.getLogger("kt_ext")
_TEXT = 4000  # characters of an error's text that travel
_Code = grpc.StatusCode


class Refused(Exception):
    """A call that is answered by a status code and a text; nothing was changed."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code


class Caller(NamedTuple):
    """Who calls, and in which attempt of the trial that the call is about (0: of none)."""

    worker: str
    session: str
    attempt: int


class TokenCheck(grpc.ServerInterceptor):
    """Refuses calls without the right token, whatever their method, before a byte of them is parsed."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()
        self._refuse = grpc.unary_unary_rpc_method_handler(
            lambda request, context: context.abort(
                _Code.UNAUTHENTICATED, "the token is missing or is not this chief's; give the worker its credentials"
            )
        )

    def intercept_service(self, continuation: Callable[..., Any], handler_call_details: Any) -> Any:
        """Called for each call by grpc."""
        said = [str(value) for key, value in handler_call_details.invocation_metadata if key == wire.AUTHORIZATION]
        if len(said) == 1 and hmac.compare_digest(said[0].encode(), self._expected):
            return continuation(handler_call_details)
        return self._refuse


def _answered(method: Callable[..., Any]) -> Callable[..., Any]:
    """Turns what a method raises into a status code and a text."""

    @functools.wraps(method)
    def answer(self: Service, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(self, request, context)
        except Refused as refused:
            code, text = refused.code, str(refused)
        except WorkerTaken as taken:
            context.set_trailing_metadata(((wire.LEASE_SECONDS, str(self.chief.leases.seconds)),))
            code, text = _Code.ALREADY_EXISTS, f"another process is at work as worker {str(taken)!r}"
        except ValueError as error:
            code, text = _Code.INVALID_ARGUMENT, str(error)
        except Exception as error:  # the worker is told of any, since it waits for an answer
            if isinstance(error, StorageError):
                self.chief.fail(error)
            else:
                _log.exception("the chief could not answer %s", method.__name__)
            code, text = _Code.INTERNAL, f"{type(error).__name__}: {error}"
        context.abort(code, text[:_TEXT])

    return answer


class Service(protos.get_service_grpc().OracleServicer):  # type: ignore[misc]
    """The methods that workers call. Each decides under the oracle's lock, so that none sees a trial change hands."""

    def __init__(self, chief: Chief) -> None:
        self.chief, self.oracle = chief, chief.oracle

    def add_to(self, server: grpc.Server) -> None:
        """Have a server answer these methods."""
        protos.get_service_grpc().add_OracleServicer_to_server(self, server)
        own = {wire.METHOD: grpc.unary_unary_rpc_method_handler(self.call)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(wire.SERVICE, own),))

    # Keras Tuner's

    @_answered
    def GetSpace(self, request: Any, context: grpc.ServicerContext) -> Any:
        """The search space."""
        _caller(context)
        with self.oracle.lock:
            return protos.get_service().GetSpaceResponse(hyperparameters=self.oracle.get_space().to_proto())

    @_answered
    def UpdateSpace(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Hyperparameters that a build asked for."""
        _caller(context)
        self.oracle.update_space(HyperParameters.from_proto(request.hyperparameters))
        return protos.get_service().UpdateSpaceResponse()

    @_answered
    def CreateTrial(self, request: Any, context: grpc.ServicerContext) -> Any:
        """The worker's next trial; the same one again while it has one."""
        caller = _caller(context)
        if request.tuner_id != caller.worker:
            raise ValueError(f"tuner_id={request.tuner_id!r}: must be the worker's own, {caller.worker!r}")
        with self.oracle.lock:
            # Not before: its lease could be collected while it waits for the lock, and nobody would miss it any more.
            if self._hear(caller) is None:
                raise Refused(_Code.FAILED_PRECONDITION, f"worker {caller.worker!r} has said good-bye; say hello again")
            trial = self.oracle.create_trial(caller.worker)
            if caller.worker in self.oracle.ongoing_trials:
                attempt = self.oracle.attempt(trial.trial_id)
                context.set_trailing_metadata(((wire.ATTEMPT, str(attempt)),))
                with self.chief.changed:
                    self.chief.leases.give(caller.worker, trial.trial_id, attempt)
            self.chief.notify()
            return protos.get_service().CreateTrialResponse(trial=trial.to_proto())

    @_answered
    def UpdateTrial(self, request: Any, context: grpc.ServicerContext) -> Any:
        """One epoch's metrics."""
        caller = _caller(context)
        self._hear(caller)
        with self.oracle.lock:
            self._check_holds(caller, request.trial_id)
            if self._is_at_work(caller.worker, request.trial_id):
                with self.chief.changed:
                    self.chief.leases.give(caller.worker, request.trial_id, caller.attempt)
            metrics = dict(sorted(request.metrics.items()))  # a message's map has no order
            trial = self.oracle.update_trial(request.trial_id, metrics, step=request.step)
            return protos.get_service().UpdateTrialResponse(trial=trial.to_proto())

    @_answered
    def EndTrial(self, request: Any, context: grpc.ServicerContext) -> Any:
        """The worker is done with its trial; once is enough."""
        caller = _caller(context)
        self._hear(caller)
        trial = Trial.from_proto(request.trial)
        message = dict(context.invocation_metadata()).get(wire.MESSAGE)
        trial.message = None if message is None else message.decode("utf-8", "replace")
        with self.oracle.lock:
            self._check_known(trial.trial_id)
            if not self.oracle.handed_out.ended_before(int(trial.trial_id), caller.attempt):
                self._check_holds(caller, trial.trial_id)
                if self._is_at_work(caller.worker, trial.trial_id):
                    self.oracle.end_trial(trial)
                with self.chief.changed:
                    self.chief.leases.take(caller.worker, trial.trial_id)
                self.chief.notify()
        return protos.get_service().EndTrialResponse()

    @_answered
    def GetTrial(self, request: Any, context: grpc.ServicerContext) -> Any:
        """One trial as it stands."""
        _caller(context)
        with self.oracle.lock:
            self._check_known(request.trial_id)
            trial = self.oracle.get_trial(request.trial_id)
            return protos.get_service().GetTrialResponse(trial=trial.to_proto())

    @_answered
    def GetBestTrials(self, request: Any, context: grpc.ServicerContext) -> Any:
        """The best trials so far."""
        _caller(context)
        with self.oracle.lock:
            trials = [trial.to_proto() for trial in self.oracle.get_best_trials(request.num_trials)]
        return protos.get_service().GetBestTrialsResponse(trials=trials)

    # Ours

    @_answered
    def call(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        """A worker arrives, is there, leaves: ``{"do": "hello" | "beat" | "bye"}`` as JSON."""
        caller = _caller(context)
        asked = json.loads(request)
        do = asked.get("do") if isinstance(asked, Mapping) else None
        if do == "hello":
            if asked.get("search") not in (None, self.chief.search):
                # Not refused for good: the chief of that one may serve at this address next.
                raise Refused(_Code.UNAVAILABLE, "this is the chief of another search; yours may follow it here")
            self.chief.reap()  # who had this id may be gone by now
            with self.chief.changed:
                self.chief.leases.hello(caller.worker, caller.session)
            self.chief.note_arrival(caller.worker)
            answer = {
                "lease_seconds": self.chief.leases.seconds,
                "heartbeat_seconds": self.chief.heartbeat_seconds,
                "version": __version__,
            }
            return json.dumps(answer).encode()
        if do == "beat":
            self._hear(caller)
        elif do == "bye":
            if "fatal" in asked:
                self.chief.fail(RuntimeError(f"the search was ended by an error in {caller.worker}: {asked['fatal']}"))
            self.chief.leave(caller.worker, caller.session)
        else:
            raise ValueError(f"do={do!r}: must be 'hello', 'beat' or 'bye'; chief and workers must have one version")
        return b"{}"

    def _hear(self, caller: Caller) -> Lease | None:
        with self.chief.changed:
            lease = self.chief.leases.hear(caller.worker, caller.session)
        if lease is not None:
            self.chief.note_arrival(caller.worker)
        return lease

    def _check_known(self, trial_id: str) -> None:
        self.oracle.attempt(trial_id)

    def _is_at_work(self, worker: str, trial_id: str) -> bool:
        trial = self.oracle.ongoing_trials.get(worker)
        return trial is not None and trial.trial_id == trial_id

    def _check_holds(self, caller: Caller, trial_id: str) -> None:
        """The trial was given to this worker in this attempt, and was not taken from it since."""
        present = self.oracle.attempt(trial_id)
        if caller.attempt != present or self.oracle.handed_out.worker(int(trial_id)) != caller.worker:
            raise Refused(
                _Code.FAILED_PRECONDITION,
                f"trial {trial_id} is not worker {caller.worker!r}'s any more (attempt {caller.attempt}, now {present})"
                "; leave it and ask for the next",
            )


def _caller(context: grpc.ServicerContext) -> Caller:
    said = dict(context.invocation_metadata())
    if wire.WORKER not in said or wire.SESSION not in said:
        raise Refused(
            _Code.UNIMPLEMENTED,
            "this chief works with kt_ext's workers only: use a kt_ext tuner of the same version in the workers, too",
        )
    return Caller(said[wire.WORKER], said[wire.SESSION], int(said.get(wire.ATTEMPT, 0)))
