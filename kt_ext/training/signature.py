"""What a compiled model would trace, as text: two models with the same text have the same step.

Keras's own configs do not say enough. They name a function without saying what it holds (a loss that closes over a
hyperparameter), or name a user's ``relu`` as Keras's, and miss what was changed after construction. So the text is made
of the objects themselves: every attribute that can be reached from the model, save those in a short list. What is not
in that list and differs, even for a reason that would not matter, makes another text: that costs a trace, while a wrong
match would be a wrong result.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator
from typing import Any

import keras

from kt_ext.schedules.attach import ATTRIBUTE
from kt_ext.training.live import OPTIMIZERS, places
from kt_ext.training.state import VARIABLE, updating_optimizer

#: Attributes that no step reads, or that differ between two equal models.
_BOOKKEEPING = frozenset(
    (
        "_tracker",  # ids of objects; what it tracks is reached by its attribute as well
        "_nodes",  # ids of nodes; they are reached from the layers
        "_trainable_variables_indices",  # ids of variables
        "_auto_config",  # the arguments of the constructor; the step reads the attributes made of them
        "build",  # a wrapper of the class's method, around a built layer
        "quantize",  # the same
        ATTRIBUTE,  # a schedule of the learning rate: TrialModels hands it on
    )
)
_LEAVES = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))


class _Foreign(Exception):
    """Something that is not Keras's own."""


def signature(model: keras.Model) -> str | None:
    """The text of the step that ``model`` would trace, or None if that cannot be known.

    Values that can be live (``kt_ext.training.live.LIVE``) are left out, and so are the weights, the seeds of random
    generators, initializers (they have done their work), and the numbers in names that Keras made up. A name that looks
    like one that Keras made up (``dense_1`` of a Dense) counts as such.

    None, so that the model is traced by itself, unless it is a built and compiled Sequential or functional model, not
    trained yet, and everything in it is an instance or a function of Keras itself: no Lambda or subclass, no function,
    method or callable object of a user, no tensor or array as an attribute (a preprocessing layer that was adapted).
    """
    if not _is_fresh(model):
        return None
    try:
        return _Writer(model).text()
    except _Foreign:
        return None


def _is_fresh(model: Any) -> bool:
    # Functional has no public name: keras.Model(inputs, outputs) makes one.
    known = _is_of_keras(type(model)) and type(model).__name__ in ("Sequential", "Functional")
    if not (known and model.built and model.compiled and model.train_function is None):
        return False
    optimizer = updating_optimizer(model)
    return (
        keras.backend.backend() in ("tensorflow", "jax")
        and optimizer is not None
        and type(optimizer) in OPTIMIZERS
        and int(optimizer.variables[0].numpy()) == 0  # the count of steps
    )


def _is_of_keras(thing: Any) -> bool:
    return str(thing.__module__).startswith("keras.")


class _Writer:
    """Walks what can be reached from a model, depth first, each object once. A long model is deep: no recursion."""

    def __init__(self, model: keras.Model) -> None:
        self._todo: list[Any] = [model]
        self._numbers: dict[int, int] = {}  # object id -> order of the first visit
        self._alive: list[Any] = []  # else the id of a temporary could be that of the next
        self._names: dict[str, str] = {}  # a name that Keras made up -> what stands for it
        self._live = {one for place in places(model).values() for one in place.attributes()}
        self._tokens: list[str | _Text] = [_environment()]

    def text(self) -> str:
        while self._todo:
            item = self._todo.pop()
            if isinstance(item, _Token):
                self._tokens.append(item.text)
            elif isinstance(item, str):
                self._tokens.append(_Text(item))
            elif isinstance(item, _LEAVES):
                self._tokens.append(repr(item))
            elif isinstance(item, tuple):  # by value: whether two constants are one object means nothing
                self._todo.extend((_Token(")"), *reversed(item), _Token("(")))
            elif id(item) in self._numbers:
                self._tokens.append(f"#{self._numbers[id(item)]}")
            else:
                self._numbers[id(item)] = len(self._numbers)
                self._alive.append(item)
                self._todo.extend(reversed(list(self._parts(item))))
        return "\n".join(self._named(token) if isinstance(token, _Text) else token for token in self._tokens)

    def _parts(self, item: Any) -> Iterator[Any]:
        if isinstance(item, dict):
            yield _Token("{")
            for key, value in list(item.items()):
                yield from (key, _Token("live") if (id(item), key) in self._live else value)
            yield _Token("}")
        elif isinstance(item, (set, frozenset)):
            if not all(isinstance(one, _LEAVES) for one in item):
                raise _Foreign  # in an order that may differ
            yield from (_Token("{"), *sorted(item, key=repr), _Token("}"))
        elif isinstance(item, list):
            yield from (_Token("["), *item, _Token("]"))
        elif isinstance(item, types.MethodType):
            yield from (item.__func__, item.__self__)
        elif isinstance(item, (type, types.FunctionType)):
            yield from self._code(item)
        elif isinstance(item, (inspect.Signature, types.ModuleType)):
            yield _Token(type(item).__name__)
        elif type(item).__module__.startswith("tensorflow.python.distribute."):
            yield _Token(f"strategy {id(item)}")  # kept alive by the model
        elif isinstance(item, VARIABLE):
            yield _Token(f"{item.name} {tuple(item.shape)} {item.dtype} {item.trainable} {item.aggregation}")
            yield from (item.regularizer, item.constraint)
        elif _is_of_keras(type(item)):
            yield from self._object(item)
        else:
            raise _Foreign

    def _code(self, item: Any) -> Iterator[Any]:
        if not (_is_of_keras(item) or (isinstance(item, type) and item.__module__ == "builtins")):
            raise _Foreign
        yield _Token(f"{item.__module__}.{item.__qualname__}")
        if isinstance(item, types.FunctionType):
            try:
                yield from [cell.cell_contents for cell in item.__closure__ or ()]
            except ValueError:  # an empty cell
                raise _Foreign from None
            yield from item.__defaults__ or ()

    def _object(self, item: Any) -> Iterator[Any]:
        kind = type(item)
        yield _Token(f"<{kind.__module__}.{kind.__qualname__}")
        if isinstance(item, keras.layers.Lambda):
            raise _Foreign
        if isinstance(item, keras.initializers.Initializer):
            return
        if isinstance(item, keras.random.SeedGenerator):
            yield from (item.state, _Token(">"))
            return
        attributes = vars(item)
        self._note_name(kind, attributes.get("name", attributes.get("_name")))
        for name in sorted(attributes):
            if name in _BOOKKEEPING or name.startswith("_self_"):  # _self_: of TensorFlow's own tracking
                continue
            if isinstance(item, keras.KerasTensor) and name in ("name", "_name"):
                continue
            yield _Token(f".{name}")
            yield _Token("live") if (id(item), name) in self._live else attributes[name]
        yield _Token(">")

    def _note_name(self, kind: type, name: object) -> None:
        """Keras makes ``batch_normalization_7`` of BatchNormalization."""
        if isinstance(name, str):
            plain = re.sub(r"_\d+$", "", name).replace("_", "")
            if plain == kind.__name__.lower():
                self._names.setdefault(name, f"\0{kind.__name__}-{len(self._names)}")

    def _named(self, text: _Text) -> str:
        # Names stand alone and as parts of a path.
        return repr("/".join(self._names.get(part, part) for part in text.text.split("/")))


class _Token:
    """Text that stands as it is."""

    def __init__(self, text: str) -> None:
        self.text = text


class _Text(_Token):
    """Text of the model's, in which names are to be replaced when all are known."""


def _environment() -> str:
    distribution = keras.distribution.distribution()
    return (
        f"{keras.backend.backend()} {keras.config.floatx()} {keras.config.epsilon()} "
        f"{keras.config.image_data_format()} {'' if distribution is None else id(distribution)}"
    )
