"""A controller that learns to draw good architectures by reinforcement learning (Zoph and Le, 2017)."""

from __future__ import annotations

import base64
import hashlib
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kt_ext.nas.records import Records
from kt_ext.nas.space import AbstractArchitectureSpace
from kt_ext.nas.strategies.arrivals import Arrival, arrivals
from kt_ext.nas.strategies.sizes import share_of
from kt_ext.nas.strategies.token_policy import TokenPolicy, initial_weights
from kt_ext.nas.strategies.tokens import Tokens
from kt_ext.nas.strategy import AbstractStrategy, Proposal
from kt_ext.searchers.copula import normal_scores

ALGORITHMS = ("ppo", "reinforce")
#: A batch by default is such a share of the trials, and so many at most.
BATCH_SHARE, BATCH = 10, 10


class Controller(AbstractStrategy):
    """An LSTM emits an architecture token by token, and learns from those that were tried.

    Each ``batch`` of finished trials, in their order of arrival, is learnt from once. A trial's reward is the normal
    score of its rank among all that arrived up to the end of its batch, so that the objective's scale does not matter;
    the baseline is a moving average of the batches' mean rewards.

    What was learnt is a function of the trials and the seed: a new object learns the same again from the same trials,
    or takes it from a ``state``.

    The defaults were chosen on NAS-Bench-201's CIFAR-10 and NAS-Bench-Macro; other tables must judge them.

    Args:
        algorithm: "ppo" (Schulman et al., 2017) or "reinforce" (Zoph and Le, 2017).
        units: of the LSTM and of the tokens' embedding.
        learning_rate: Adam's.
        batch: how many trials are learnt from at a time, >= 1; None: a tenth of all, at least 2 and at most 10.
        entropy: weight of the entropy bonus, >= 0, which keeps the controller trying new things.
        baseline_decay: of the moving average, in [0, 1).
        clip: how far PPO lets a token's probability move, in (0, 1).
        epochs: optimizer's steps on each batch; None: 1 for REINFORCE, whose gradient holds for one, 4 for PPO.
        seed: of the first weights, integer >= 0.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        algorithm: str = "ppo",
        units: int = 64,
        learning_rate: float = 0.01,
        batch: int | None = None,
        entropy: float = 0.01,
        baseline_decay: float = 0.8,
        clip: float = 0.2,
        epochs: int | None = None,
        seed: int = 0,
    ) -> None:
        if algorithm not in ALGORITHMS:
            raise ValueError(f"algorithm={algorithm!r}: must be 'ppo' or 'reinforce'")
        epochs = (4 if algorithm == "ppo" else 1) if epochs is None else epochs
        counts = [("units", units, 1), ("epochs", epochs, 1), ("seed", seed, 0)]
        if batch is not None:
            counts.append(("batch", batch, 1))
        for name, count, least in counts:
            if not (isinstance(count, int) and count >= least):
                raise ValueError(f"{name}={count!r}: must be an integer >= {least}")
        if not learning_rate > 0:
            raise ValueError(f"learning_rate={learning_rate}: must be > 0, such as 0.01")
        if not entropy >= 0:
            raise ValueError(f"entropy={entropy}: must be >= 0; 0 switches the bonus off")
        if not 0 <= baseline_decay < 1:
            raise ValueError(f"baseline_decay={baseline_decay}: must be in [0, 1); 0 takes the batch before alone")
        if not 0 < clip < 1:
            raise ValueError(f"clip={clip}: must be in (0, 1), such as 0.2")
        self.algorithm = algorithm
        self.units = units
        self.learning_rate = learning_rate
        self.batch = batch
        self.entropy = entropy
        self.baseline_decay = baseline_decay
        self.clip = clip
        self.epochs = epochs
        self.seed = seed
        self._space: AbstractArchitectureSpace | None = None
        self._network: Any = None  # kt_ext.networks.controller.ControllerNetwork
        self._batch = 0  # known with the first records
        self._learnt: list[Arrival] = []
        self._baseline: float | None = None
        self._offered: Mapping[str, Any] | None = None
        self._records: Records | None = None
        self._turn = 0

    def choose(self, records: Records, rng: np.random.Generator) -> Proposal:
        """Draws an architecture, after learning from the trials that finished since."""
        self._follow(records)
        return Proposal(self._tokens.draw(self._policy.walk().choose, rng))

    def _follow(self, records: Records) -> None:
        if self._records is records and self._turn == records.turn:
            return  # asked again, as the proposal before was no new one
        self._records, self._turn = records, records.turn
        if records.space is not self._space:
            self._space, self._tokens, self._network = records.space, Tokens(records.space), None
            self._restart()
        if not self._tokens.counts:
            return
        default = share_of(records.max_trials, BATCH_SHARE, 2, BATCH)
        self._batch = default if self.batch is None else self.batch
        arrived = arrivals(records)
        if self._offered is not None and len(arrived) >= self._offered["trials"]:
            self._take(self._offered, arrived)
            self._offered = None
        if arrived[: len(self._learnt)] != self._learnt:
            self._restart()
        while len(arrived) - len(self._learnt) >= self._batch:
            self._learn(arrived[: len(self._learnt) + self._batch])

    def _restart(self) -> None:
        """Begin with what the seed gives."""
        self._learnt = []
        self._baseline = None
        counts = self._tokens.counts
        weights = initial_weights(counts, self.units, self.seed)
        self._policy = TokenPolicy(weights, counts)
        if self._network is not None:
            self._network.begin(weights)

    def _learn(self, arrived: Sequence[Arrival]) -> None:
        """One batch: the last of ``arrived``."""
        rewards = -normal_scores(np.array([one.objective for one in arrived]))[-self._batch :]
        mean = float(rewards.mean())
        baseline = mean if self._baseline is None else self._baseline
        tokens = np.stack([self._tokens.of(one.arch) for one in arrived[-self._batch :]])
        network = self._made_network()
        network.learn(tokens, rewards - baseline, self.epochs)
        self._baseline = self.baseline_decay * baseline + (1 - self.baseline_decay) * mean
        self._learnt = list(arrived)
        self._policy = network.policy()

    def _made_network(self) -> Any:
        if self._network is None:
            module = importlib.import_module("kt_ext.networks.controller")
            clip = self.clip if self.algorithm == "ppo" else None
            self._network = module.ControllerNetwork(
                self._tokens.counts, self.units, self.learning_rate, self.entropy, clip, self._policy.weights
            )
        return self._network

    def state(self) -> dict[str, Any]:
        """What was learnt, as a JSON object: weights, optimizer, baseline, and from how many trials."""
        learnt = {} if self._network is None else self._network.state()
        return {
            "trials": len(self._learnt),
            "fingerprint": self._fingerprint(self._learnt),
            "baseline": self._baseline,
            "network": {name: [_pack(array) for array in arrays] for name, arrays in learnt.items()},
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state()`` once as many trials are there. It is used only if it came of the same trials and
        settings, so that it changes nothing but the time it takes.
        """
        self._offered = state
        self._records = None

    def _take(self, state: Mapping[str, Any], arrived: Sequence[Arrival]) -> None:
        learnt = list(arrived[: state["trials"]])
        if state["trials"] and state["fingerprint"] == self._fingerprint(learnt):
            network = self._made_network()
            network.load_state({name: [_unpack(one) for one in arrays] for name, arrays in state["network"].items()})
            self._learnt, self._baseline, self._policy = learnt, state["baseline"], network.policy()

    def _fingerprint(self, learnt: Sequence[Arrival]) -> str:
        settings = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        trials = [(one.number, one.objective, one.arch.genes) for one in learnt]
        return hashlib.sha256(repr((settings, self._batch, trials)).encode()).hexdigest()


def _pack(array: np.ndarray) -> list[Any]:
    return [str(array.dtype), list(array.shape), base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()]


def _unpack(packed: Sequence[Any]) -> np.ndarray:
    dtype, shape, text = packed
    return np.frombuffer(base64.b64decode(text), dtype).reshape(shape)
