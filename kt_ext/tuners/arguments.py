"""The arguments of tuners: whose they are, and what may be given."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

import keras_tuner

from kt_ext.oracles import SchedulerOracle

_ORACLE_ARGUMENTS = frozenset(
    name for name, p in inspect.signature(SchedulerOracle.__init__).parameters.items() if p.kind is p.KEYWORD_ONLY
)


def split_arguments(kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A tuner's keyword arguments, split into those of its oracle and those of ``keras_tuner.Tuner``."""
    for_oracle = {name: value for name, value in kwargs.items() if name in _ORACLE_ARGUMENTS}
    return for_oracle, {name: value for name, value in kwargs.items() if name not in _ORACLE_ARGUMENTS}


def check_arguments(oracle: SchedulerOracle, max_model_size: int | None, executions_per_trial: int) -> None:
    """Raises TypeError or ValueError for what no tuner takes."""
    if not isinstance(oracle, SchedulerOracle):
        raise TypeError(f"oracle={oracle!r}: must be a kt_ext oracle; use keras_tuner.Tuner for Keras Tuner's own")
    if max_model_size is not None and (
        isinstance(max_model_size, bool) or not isinstance(max_model_size, int) or max_model_size < 1
    ):
        raise ValueError(f"max_model_size={max_model_size!r}: must be an integer >= 1, or None for no limit")
    if isinstance(executions_per_trial, bool) or not isinstance(executions_per_trial, int) or executions_per_trial < 1:
        raise ValueError(f"executions_per_trial={executions_per_trial!r}: must be an integer >= 1")
    if executions_per_trial > 1 and oracle.scheduler.stops_in_flight:
        raise ValueError(
            f"executions_per_trial={executions_per_trial}: executions run one after the other, so a scheduler that "
            "stops trials in flight would decide after all but one have run in full; use 1, or a scheduler that "
            "only pauses them, as variant='promotion' does"
        )


def unknown_arguments(tuner: type[keras_tuner.Tuner], base: type[keras_tuner.Tuner], unknown: list[str]) -> str:
    """What to say of arguments that neither ``tuner`` nor the ``base`` that it passes them to takes."""
    known = {name for cls in (tuner, base) for name in inspect.signature(cls.__init__).parameters}
    known = (known | _ORACLE_ARGUMENTS) - {"self", "kwargs", "oracle"}
    meant = [close for name in unknown for close in difflib.get_close_matches(name, known, n=1)]
    return (
        f"{', '.join(unknown)}: not an argument of {tuner.__name__}"
        f"{'; did you mean ' + ', '.join(meant) + '?' if meant else ';'} It takes {', '.join(sorted(known))}"
    )
