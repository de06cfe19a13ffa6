"""Zero-cost proxies: what a network that was never trained says of how well it would do.

As in Abdelfattah, Mehrotra, Dudziak and Lane (2021), "Zero-Cost Proxies for Lightweight NAS", and its code
(SamsungLabs/zero-cost-nas). A proxy orders architectures roughly; the number of parameters is the bar to beat.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np
from keras import ops

from kt_ext.nas.estimators import MEASURES, Measure
from kt_ext.networks.gradients import input_gradients, variable_gradients
from kt_ext.networks.synflow import synflow

JITTER = 1e-5  # beside each eigenvalue, as in zero-cost-nas


def score(
    measure: Measure,
    model: keras.Model,
    x: np.ndarray | None,
    y: np.ndarray | None,
    rng: np.random.Generator,
    batch: int | None = None,
) -> float:
    """How promising a model is that was just built; higher is better, and scores of one measure can be compared.

    Args:
        measure: "synflow", the logarithm of the synaptic flow, which needs no data; "jacob_cov", how differently the
            network answers to different examples; "grad_norm", the size of the gradients, for which the model must be
            compiled.
        model: of one input and one output, with weights as initialised. It is not changed.
        x: examples, shape (n, ...); None will do for "synflow".
        y: their targets, shape (n, ...); None will do but for "grad_norm".
        rng: draws the minibatch where ``batch`` says that one is to be drawn.
        batch: how many examples are drawn, all if there are not so many, or by default.

    Returns:
        ``-inf`` where the measure has no number, as for a network that gives the same whatever it is given.

    Raises:
        ValueError: the measure is unknown, or cannot be taken of this model or these data.
    """
    if measure not in MEASURES:
        raise ValueError(f"measure={measure!r}: must be one of {', '.join(MEASURES)}")
    if measure == "synflow":
        return synflow(model)
    if x is None or len(x) < 2:
        raise ValueError(f"x={'None' if x is None else len(x)} examples: {measure} needs two at least; use 'synflow'")
    drawn = np.arange(len(x)) if batch is None else np.sort(rng.permutation(len(x))[:batch])
    images = np.asarray(x)[drawn].astype("float32")
    if measure == "jacob_cov":
        return jacob_cov(model, images)
    if y is None:
        raise ValueError("y=None: grad_norm needs targets; give them, or use 'synflow' or 'jacob_cov'")
    return grad_norm(model, images, np.asarray(y)[drawn])


def jacob_cov(model: keras.Model, x: np.ndarray) -> float:
    """How little the gradients of the summed outputs by the input correlate between examples.

    ``-sum(log(v + k) + 1 / (v + k))`` over the eigenvalues v of their correlation matrix. Mellor, Turner, Storkey and
    Crowley (2020), "Neural Architecture Search without Training", version 1. Of a classifier the logits count, for
    probabilities always sum to 1.

    Args:
        model: of one input and one output.
        x: shape (n, ...), floats.
    """
    with _logits(model):
        _, jacobian = input_gradients(lambda tensor: ops.sum(_float32(model(tensor, training=True))), x)
    rows = jacobian.reshape(len(x), -1).astype("float64")
    rows = rows - rows.mean(1, keepdims=True)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not (np.isfinite(norms).all() and (norms > 0).all()):
        return -math.inf
    eigenvalues = np.linalg.eigvalsh((rows / norms) @ (rows / norms).T).clip(0)
    return float(-np.sum(np.log(eigenvalues + JITTER) + 1 / (eigenvalues + JITTER)))


def grad_norm(model: keras.Model, x: np.ndarray, y: np.ndarray) -> float:
    """The sum over all kernels of the Euclidean norm of the loss's gradient.

    Args:
        model: compiled with one loss, of one input and one output.
        x, y: one minibatch.

    Raises:
        ValueError: the model has no loss, or several.
    """
    loss = getattr(model, "loss", None)
    if loss is None or isinstance(loss, (list, tuple, dict)):
        raise ValueError(f"model: its loss is {loss!r}; grad_norm needs a model compiled with one loss")
    function = keras.losses.get(loss)
    kernels = [variable for variable in model.trainable_variables if len(variable.shape) > 1]
    _, gradients = variable_gradients(
        lambda: ops.mean(function(y, _float32(model(ops.convert_to_tensor(x), training=True)))), kernels
    )
    total = float(sum(np.linalg.norm(gradient.astype("float64")) for gradient in gradients))
    return total if math.isfinite(total) else -math.inf


def _float32(tensor: object) -> object:
    return ops.cast(tensor, "float32")


@contextmanager
def _logits(model: keras.Model) -> Iterator[None]:
    """Within it the model's last layer has no activation function."""
    last = model.layers[-1]
    function = getattr(last, "activation", None)
    if not callable(function):
        yield
        return
    last.activation = keras.activations.linear
    try:
        yield
    finally:
        last.activation = function
