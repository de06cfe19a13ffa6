"""The whole state of a model in training, as plain numpy arrays: what a trial needs to go on elsewhere."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager

import keras
import numpy as np

from kt_ext.training.live_float import VARIABLE_NAME

_AUTO_NUMBER = re.compile(r"_\d+(?=[_/]|$)")


def get_state(model: keras.Model, optimizer: bool = True) -> dict[str, np.ndarray]:
    """All that training changes: weights, random generators, and the optimizer's step count, learning rate and slots.

    Not in it: metrics, which each epoch begins anew, and the variables of live values (``kt_ext.training.live``), which
    are hyperparameters. A distributed variable counts once, as the strategy reads it.

    Args:
        model: a built model; its optimizer is built if it was not.
        optimizer: False leaves the optimizer out (and unbuilt).

    Returns:
        Arrays in a stable order, each a copy of its own, by names such as ``model/0003/sequential/dense/kernel``. The
        numbers that Keras adds to names are left out: they differ between two builds of one architecture.

    Raises:
        ValueError: the model is not built.
    """
    return {name: _read(variable) for name, variable in _variables(model, optimizer).items()}


def set_state(model: keras.Model, state: Mapping[str, np.ndarray]) -> None:
    """Give a model of the same architecture this state, in place and on every replica.

    A state without an optimizer leaves the model's optimizer alone.

    Raises:
        ValueError: the model is not built, or the state is that of another architecture or optimizer; nothing is changed.
    """
    variables = _variables(model, optimizer=any(name.startswith("optimizer/") for name in state))
    _check_same(variables, state)
    for name, variable in variables.items():
        _write(variable, state[name])


def strategy_scope(model: keras.Model) -> AbstractContextManager:
    """The scope in which variables of ``model`` must be made: that of its ``tf.distribute`` strategy, if it has one."""
    if keras.backend.backend() == "tensorflow":
        return model.distribute_strategy.scope()
    return contextlib.nullcontext()


def build_optimizer(model: keras.Model) -> None:
    """Make the optimizer's slots now instead of in the first step. Raises ValueError if the model is not built."""
    if not model.built:
        raise ValueError(
            f"model={model.name!r}: is not built, so it has no variables; begin it with keras.Input or call model.build()"
        )
    if model.optimizer is not None and not model.optimizer.built:
        with strategy_scope(model):
            model.optimizer.build(model.trainable_variables)


def _variables(model: keras.Model, optimizer: bool) -> dict[str, keras.Variable]:
    if optimizer or not model.built:
        build_optimizer(model)
    metrics = {id(variable) for variable in model.metrics_variables}
    parts = {"model": [variable for variable in model.variables if id(variable) not in metrics]}
    if optimizer and model.optimizer is not None:
        parts["optimizer"] = model.optimizer.variables
    return {
        f"{part}/{number:04d}/{_AUTO_NUMBER.sub('', variable.path)}": variable
        for part, variables in parts.items()
        for number, variable in enumerate(v for v in variables if v.name != VARIABLE_NAME)
    }


def _read(variable: keras.Variable) -> np.ndarray:
    if keras.backend.backend() == "tensorflow":
        # Variable.numpy() opens a name scope for each variable, which takes several times as long.
        return np.asarray(variable.value.value().numpy())
    return np.array(variable.numpy())


def _write(variable: keras.Variable, array: np.ndarray) -> None:
    if keras.backend.backend() == "tensorflow":
        variable.value.assign(array, read_value=False)
    else:
        variable.assign(np.array(array))  # a copy: JAX may go on using the memory that it is given


def _check_same(variables: Mapping[str, keras.Variable], state: Mapping[str, np.ndarray]) -> None:
    for name, variable in variables.items():
        if name not in state:
            raise ValueError(f"state: has no {name!r}, which the model has; {_SAME}")
        array = state[name]
        if tuple(array.shape) != tuple(variable.shape):
            raise ValueError(
                f"state[{name!r}]: has shape {tuple(array.shape)}, the model's is {tuple(variable.shape)}; {_SAME}"
            )
        if array.dtype.name != variable.dtype:
            raise ValueError(f"state[{name!r}]: is {array.dtype.name}, the model's is {variable.dtype}; {_SAME}")
    for name in state:
        if name not in variables:
            raise ValueError(f"state: has {name!r}, which the model has not; {_SAME}")


_SAME = "build the model with the values that the state was trained with"
