"""Keras objects that are made anew for each model: one optimizer or metric cannot serve two."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True)
class Recipe:
    """Makes objects like a given one from its class and configuration; can be pickled where these can.

    Attributes:
        kind: the class.
        config: of ``get_config``.
    """

    kind: type
    config: Mapping[str, Any]

    @classmethod
    def of(cls, given: Any) -> Recipe:
        """For objects like ``given``, in the state of a new one."""
        return cls(type(given), given.get_config())

    def __call__(self) -> Any:
        """A new one."""
        return self.kind.from_config(dict(self.config))  # type: ignore[attr-defined]


@dataclass(frozen=True)
class FreshOptimizer:
    """Makes a trial's optimizer.

    Args:
        given: a Keras optimizer's name or serialized configuration; an optimizer, of which each model gets one like it;
            or a function from ``hp`` to a new one.

    Raises:
        TypeError, ValueError: it is none of these.
    """

    given: Any

    def __post_init__(self) -> None:
        if isinstance(self.given, keras.optimizers.Optimizer):
            object.__setattr__(self, "given", Recipe.of(self.given))
        elif isinstance(self.given, str):
            if self.given.lower() not in _names():
                raise ValueError(f"optimizer={self.given!r}: must be one of {', '.join(_names())}, or a function of hp")
        elif isinstance(self.given, type) or not (callable(self.given) or isinstance(self.given, Mapping)):
            raise TypeError(
                f"optimizer={self.given!r}: must be a name such as 'adam', what keras.optimizers.serialize gives, an "
                "optimizer, or a function of hp that makes one"
            )

    def __call__(self, hp: Any) -> keras.optimizers.Optimizer:
        """A new optimizer. Raises TypeError, ValueError if the user's function gives none, or a used one."""
        if isinstance(self.given, Recipe):
            return self.given()
        if not callable(self.given):
            return keras.optimizers.get(self.given)
        made = self.given(hp)
        if not isinstance(made, keras.optimizers.Optimizer):
            raise TypeError(f"optimizer: the function of hp gives {made!r}; must give a keras.optimizers.Optimizer")
        if made.built:
            raise ValueError(
                f"optimizer: the function of hp gives {made.name!r}, which another model uses; make a new one inside "
                'of it, as in lambda hp: keras.optimizers.Adam(hp.Float("learning_rate", 1e-4, 1e-2, sampling="log"))'
            )
        return made


def fresh_layer(given: Any) -> Callable[[], keras.layers.Layer] | None:
    """A function that makes new layers: like ``given`` if that is a layer, else ``given`` itself; None stays None."""
    return Recipe.of(given) if isinstance(given, keras.layers.Layer) else given


def fresh_metrics(given: list[Any]) -> list[Any]:
    """The metrics, with objects made anew from their configuration; names and functions as they are."""
    return [Recipe.of(each)() if isinstance(each, keras.metrics.Metric) else each for each in given]


def _names() -> list[str]:
    base = keras.optimizers.Optimizer
    found = [each for each in vars(keras.optimizers).values() if isinstance(each, type) and issubclass(each, base)]
    return sorted({each.__name__.lower() for each in found if each is not base})
