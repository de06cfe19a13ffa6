"""The controller's network: an LSTM over the tokens of architectures, trained by REINFORCE or PPO on any backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kt_ext.nas.strategies.token_policy import TokenPolicy, Weights, first_rows

#: Gradients of a larger norm are shortened to it.
GLOBAL_CLIPNORM = 1.0
_NEVER = -1e9


class ControllerNetwork:
    """Probabilities of tokens given those before, and their training.

    Nothing is taken from Keras's global state and nothing left in it: weights and names are given, the precision is
    float32. ``keras.utils.clear_session`` does not touch it.

    The model takes for each step the embedding's row of the last active token before it, 0 if there is none (see
    ``token_policy.first_rows``), and whether the step is active, both of shape (n, n_steps); it gives logits, shape
    (n, n_steps, largest count).

    Args:
        counts: how many tokens each step has, length n_steps.
        units: of the LSTM and of the embedding.
        learning_rate: Adam's.
        entropy: weight of the entropy bonus.
        clip: how far PPO lets a probability's ratio go from 1; None: REINFORCE.
        weights: to begin with.
    """

    def __init__(
        self,
        counts: Sequence[int],
        units: int,
        learning_rate: float,
        entropy: float,
        clip: float | None,
        weights: Weights,
    ) -> None:
        self.counts = tuple(counts)
        self._rows = first_rows(counts)
        previous = keras.Input((len(counts),), dtype="int32", name="previous")
        active = keras.Input((len(counts),), dtype="bool", name="active")
        x = keras.layers.Embedding(1 + sum(counts), units, "zeros", dtype="float32", name="embedding")(previous)
        # A seed is given, as the layer would take one from Python's global generator. cuDNN cannot skip steps.
        x = keras.layers.LSTM(
            units, return_sequences=True, seed=0, use_cudnn=False, dtype="float32", name="lstm",
            kernel_initializer="zeros", recurrent_initializer="zeros",
        )(x, mask=active)  # fmt: skip
        logits = _Heads(self.counts, dtype="float32", name="heads")(x)
        self.model = _PolicyGradient(
            inputs=[previous, active], outputs=logits, name="controller", entropy=entropy, clip=clip
        )
        optimizer = keras.optimizers.Adam(learning_rate, global_clipnorm=GLOBAL_CLIPNORM, name="controller_adam")
        # XLA takes seconds to compile what then takes milliseconds; JAX has nothing else
        jit = keras.backend.backend() == "jax"
        self.model.compile(optimizer=optimizer, jit_compile=jit, auto_scale_loss=False)
        optimizer.build(self.model.trainable_variables)
        self._fresh = [np.array(ops.convert_to_numpy(variable)) for variable in optimizer.variables]
        self.begin(weights)

    def begin(self, weights: Weights) -> None:
        """Forget everything and begin with these weights."""
        self.load_state({"weights": list(weights), "optimizer": self._fresh})

    def policy(self) -> TokenPolicy:
        """The same function in numpy, with the weights of now."""
        return TokenPolicy(Weights(*self.model.get_weights()), self.counts)

    def learn(self, tokens: np.ndarray, advantages: np.ndarray, epochs: int) -> None:
        """Make tokens of sequences with a positive advantage more likely, those with a negative one less.

        Args:
            tokens: shape (n, n_steps), negative for a step that is skipped.
            advantages: shape (n,); higher is better.
            epochs: steps of the optimizer, each on all n.
        """
        policy = self.policy()
        before = np.stack([policy.log_probabilities(sequence) for sequence in tokens])
        advantage = np.broadcast_to(advantages[:, None], tokens.shape)
        target = np.stack([np.maximum(tokens, 0), advantage, before, tokens >= 0], -1).astype(np.float32)
        # not train_on_batch, which Keras 3.3 traces anew at every call
        self.model.fit(self._inputs(tokens), target, batch_size=len(tokens), epochs=epochs, shuffle=False, verbose=0)

    def _inputs(self, tokens: np.ndarray) -> list[np.ndarray]:
        active = tokens >= 0
        rows = np.where(active, tokens + self._rows, 0)
        # the row of the last active token before each step: rows grow along a sequence
        latest = np.maximum.accumulate(rows, axis=1)
        return [np.concatenate([np.zeros((len(rows), 1), int), latest[:, :-1]], 1).astype(np.int32), active]

    def state(self) -> dict[str, list[np.ndarray]]:
        """Weights and the optimizer's variables, as numpy arrays."""
        variables = self.model.optimizer.variables
        return {
            "weights": self.model.get_weights(),
            "optimizer": [np.array(ops.convert_to_numpy(variable)) for variable in variables],
        }

    def load_state(self, state: dict[str, list[np.ndarray]]) -> None:
        """Go on from a ``state()``."""
        self.model.set_weights(state["weights"])
        for variable, value in zip(self.model.optimizer.variables, state["optimizer"], strict=True):
            variable.assign(value)


class _Heads(keras.layers.Layer):
    """A dense layer of its own for each step; logits of tokens that a step does not have are out of reach."""

    def __init__(self, counts: tuple[int, ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True  # the loss does the masking
        self._counts = counts

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        steps, most = len(self._counts), max(self._counts)
        self.kernel = self.add_weight((steps, input_shape[-1], most), "zeros", name="kernel")
        self.bias = self.add_weight((steps, most), "zeros", name="bias")
        self._never = np.where(np.arange(most) < np.array(self._counts)[:, None], 0, _NEVER).astype(np.float32)

    def call(self, x: Any) -> Any:
        return ops.add(ops.einsum("btu,tuv->btv", x, self.kernel) + self.bias, self._never)


class _PolicyGradient(keras.Model):
    """Loss: minus the advantage of what was drawn, minus the entropy bonus.

    REINFORCE: Williams (1992), as Zoph and Le (2017), "Neural architecture search with reinforcement learning". PPO:
    Schulman et al. (2017), "Proximal policy optimization algorithms", equation 7, the ratio of each token.
    """

    def __init__(self, *args: Any, entropy: float = 0.0, clip: float | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._entropy = entropy
        self._clip = clip

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """``y``: token, advantage, log probability before, and whether active, shape (n, n_steps, 4)."""
        tokens, advantage, before, active = ops.cast(y[..., 0], "int32"), y[..., 1], y[..., 2], y[..., 3]
        every = ops.log_softmax(y_pred)
        taken = ops.sum(every * ops.one_hot(tokens, y_pred.shape[-1], dtype="float32"), axis=-1)
        if self._clip is None:
            gain = taken * advantage
        else:
            ratio = ops.exp(taken - before)
            clipped = ops.clip(ratio, 1 - self._clip, 1 + self._clip)
            gain = ops.minimum(ratio * advantage, clipped * advantage)
        entropy = -ops.sum(ops.exp(every) * every, axis=-1)
        # the mean over sequences and genes: the same scale for long and short spaces
        return -ops.mean(active * (gain + self._entropy * entropy))
