"""The whole state of a model in training, as plain numpy arrays: what a trial needs to go on elsewhere."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import keras
import numpy as np

from kt_ext.training.distribution import as_one, differing_replicas, replicas
from kt_ext.training.live_float import VARIABLE_NAME

#: What every variable is an instance of; before Keras 3.7 not of keras.Variable itself, but of its base.
VARIABLE: Any = keras.Variable.__bases__[0]

#: What is added to the name of a variable whose replicas differ, for the values of all of them.
REPLICAS = "/replicas"

_AUTO_NUMBER = re.compile(r"_\d+(?=[_/]|$)")


def get_state(model: keras.Model, optimizer: bool = True) -> dict[str, np.ndarray]:
    """All that training changes: weights, random generators, and the optimizer's step count, learning rate and slots.

    Not in it: metrics, which each epoch begins anew, and the variables of live values (``kt_ext.training.live``), which
    are hyperparameters.

    Under a ``tf.distribute`` strategy a variable whose replicas differ, as those of BatchNormalization's moving
    statistics do, is in it twice: as one value, for a model with another number of replicas (the mean, unless the
    variable has an aggregation of its own), and once as the values of all replicas, shape (replicas, *shape), its name
    followed by ``/replicas``.

    Args:
        model: a built model; its optimizer is built if it was not.
        optimizer: False leaves the optimizer out (and unbuilt).

    Returns:
        Arrays in a stable order, each a copy of its own, by names such as ``model/0003/sequential/dense/kernel``. The
        numbers that Keras adds to names are left out: they differ between two builds of one architecture.

    Raises:
        ValueError: the model is not built.
    """
    variables = _variables(model, optimizer)
    differing = differing_replicas(model, variables)
    state = {}
    for name, variable in variables.items():
        if name not in differing:
            state[name] = _read(variable)
            continue
        state[name] = as_one(variable, differing[name])
        if (differing[name] != differing[name][0]).any():
            state[name + REPLICAS] = differing[name]
    return state


def set_state(model: keras.Model, state: Mapping[str, np.ndarray]) -> None:
    """Give a model of the same architecture this state, in place and on every replica.

    Replicas that differed get each its own value, in a model with as many of them; in one with fewer or more, or with
    none, all get the same one. A state without an optimizer leaves the model's optimizer alone.

    Raises:
        ValueError: the model is not built, or the state is that of another architecture or optimizer; the model keeps
            its own.
    """
    variables = _variables(model, optimizer=any(name.startswith("optimizer/") for name in state))
    _check_same(variables, state)
    for name, variable in variables.items():
        values = state.get(name + REPLICAS, ())
        on_each = replicas(model, variable) if len(values) else ()
        if len(on_each) == len(values) > 0:
            for one, value in zip(on_each, values, strict=True):
                one.assign(value, read_value=False)
        else:
            _write(variable, state[name])


def strategy_scope(model: keras.Model) -> AbstractContextManager:
    """The scope in which variables of ``model`` must be made: that of its ``tf.distribute`` strategy, if it has one."""
    if keras.backend.backend() == "tensorflow":
        return model.distribute_strategy.scope()
    return contextlib.nullcontext()


def updating_optimizer(model: keras.Model) -> keras.optimizers.Optimizer | None:
    """The optimizer that has the hyperparameters: the one inside, where another scales the loss."""
    optimizer = model.optimizer if model.compiled else None  # Keras has no such attribute before
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return optimizer.inner_optimizer
    return optimizer


def build_optimizer(model: keras.Model) -> None:
    """Make the optimizer's slots now instead of in the first step. Raises ValueError if the model is not built."""
    if not model.built:
        raise ValueError(
            f"model={model.name!r}: is not built, so it has no variables; "
            "begin it with keras.Input or call model.build()"
        )
    if model.compiled and model.optimizer is not None and not model.optimizer.built:
        with strategy_scope(model):
            model.optimizer.build(model.trainable_variables)


def _variables(model: keras.Model, optimizer: bool) -> dict[str, keras.Variable]:
    if optimizer or not model.built:
        build_optimizer(model)
    updating = updating_optimizer(model)
    metrics = {id(variable) for variable in model.metrics_variables}
    named = [(variable.path, variable) for variable in model.variables if id(variable) not in metrics]
    found = _numbered("model", named)
    if optimizer and updating is not None:
        # Not the path: it depends on whether the optimizer was built by us or in the first step.
        kind = type(updating).__name__
        found |= _numbered(
            "optimizer", [(f"{kind}/{variable.name}", variable) for variable in model.optimizer.variables]
        )
    return found


def _numbered(part: str, named: list[tuple[str, keras.Variable]]) -> dict[str, keras.Variable]:
    kept = [(name, variable) for name, variable in named if variable.name != VARIABLE_NAME]
    return {f"{part}/{n:04d}/{_AUTO_NUMBER.sub('', name)}": variable for n, (name, variable) in enumerate(kept)}


def _read(variable: keras.Variable) -> np.ndarray:
    if keras.backend.backend() == "tensorflow":
        # Variable.numpy() opens a name scope for each variable, which takes several times as long.
        return np.asarray(variable.value.value().numpy())
    return np.array(keras.ops.convert_to_numpy(variable.value))  # torch would share its memory


def _write(variable: keras.Variable, array: np.ndarray) -> None:
    if keras.backend.backend() == "tensorflow":
        variable.value.assign(array, read_value=False)
    else:
        variable.assign(np.array(array))  # a copy: JAX may go on reading the memory that it is given


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
    for name, array in state.items():
        if name in variables:
            continue
        variable = variables.get(name.removesuffix(REPLICAS))
        if variable is None:
            raise ValueError(f"state: has {name!r}, which the model has not; {_SAME}")
        if array.ndim == 0 or tuple(array.shape[1:]) != tuple(variable.shape) or array.dtype.name != variable.dtype:
            raise ValueError(
                f"state[{name!r}]: is {array.dtype.name} of shape {tuple(array.shape)}, must be {variable.dtype} of "
                f"shape {('replicas', *variable.shape)}; {_SAME}"
            )


_SAME = "build the model with the values that the state was trained with"
