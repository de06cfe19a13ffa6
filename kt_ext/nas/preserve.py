"""Whether a child network can begin as the function that its parent is, and how each of its layers then begins.

The child's layers are read in order, and for each it is found which of the parent's layers it could stand for: its
namesake, if its inputs stand for the namesake's inputs; what its input stands for, if it can pass that on unchanged
(Net2DeeperNet); or zeros. From the output backwards it is then chosen what each does stand for.

Chen, Goodfellow and Shlens, "Net2Net", 2016; Wei et al., "Network morphism", 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from kt_ext.nas.network import Layer, Network
from kt_ext.nas.sameness import (
    FREE,
    ZERO,
    Meanings,
    kernel_offset,
    same_settings,
    why_not_identity,
    why_not_zero,
)

Rule = Literal["copy", "identity", "zero", "pass", "fresh"]


class NotPreserved(ValueError):
    """A child cannot begin as its parent; names the layer, the change, the rule and the remedy."""


@dataclass(frozen=True)
class Step:
    """How one layer of the child begins.

    Attributes:
        rule: "copy" the weights of its namesake; be an "identity"; begin at "zero"; "pass" zeros on; "fresh".
        means: the layer of the parent whose output it gives, or ``ZERO``, or ``FREE``.
        inputs: what its inputs must mean.
    """

    rule: Rule
    means: str
    inputs: tuple[str, ...]


#: Why a layer cannot be the "same" or begin at "zero": in words, or because of another one, which cannot either.
_Reason: TypeAlias = "str | tuple[str, Literal['same', 'zero']]"

REMEDY = "use exact=False to take over what fits, or train it from scratch"


def steps(parent: Network, child: Network) -> dict[str, Step]:
    """How each layer of ``child`` begins, by name, in its order.

    Raises:
        NotPreserved: the child cannot be the function that the parent is.
    """
    options = _Options(parent, child)
    end, wanted = child.output, options.meanings.of(parent.output.name)
    if parent.input_shape != child.input_shape or parent.output.shape != end.shape:
        first = "input" if parent.input_shape != child.input_shape else end.name
        raise NotPreserved(f"{first}: changes its shape; what comes in and goes out must keep theirs; {REMEDY}")
    if wanted not in options.of[end.name]:
        raise NotPreserved(f"{options.why(end.name)}; {REMEDY}")
    wants: dict[str, set[str]] = {layer.name: set() for layer in child.layers}
    wants[end.name].add(wanted)
    chosen: dict[str, Step] = {}
    for layer in reversed(child.layers):
        step = options.choose(layer.name, wants[layer.name])
        chosen[layer.name] = step
        for name, meaning in zip(layer.inputs, step.inputs, strict=True):
            wants[name].add(meaning)
    return {layer.name: chosen[layer.name] for layer in child.layers}


class _Options:
    """What each layer of the child could stand for, and why not."""

    def __init__(self, parent: Network, child: Network) -> None:
        self.parent = parent
        self.child = child
        self.meanings = Meanings(parent)
        self.of: dict[str, dict[str, Step]] = {}
        self._reasons: dict[tuple[str, str], _Reason] = {}
        for layer in child.layers:
            options = {FREE: Step("fresh", FREE, (FREE,) * len(layer.inputs))}
            copied = self._copied(layer)
            for step in [*self._identities(layer), self._zero(layer)] if copied is None else [copied]:
                if step is not None:
                    options.setdefault(step.means, step)
            if copied is not None:
                self._say(
                    layer, "zero", "gives what it gave, and a new connection without weights does not begin at zero"
                )
            self.of[layer.name] = options

    def choose(self, name: str, wants: set[str]) -> Step:
        """What the layer must be for all that take it."""
        definite = wants - {FREE}
        if len(definite) > 1:
            both = " and ".join("zeros" if meaning == ZERO else meaning for meaning in sorted(definite))
            raise NotPreserved(f"{name}: would have to give {both} at once; {REMEDY}")
        options = self.of[name]
        if definite:
            return options[definite.pop()]
        # Nothing needs it to be anything; if it can be what its namesake was, it need not be learned again.
        copies = [step for step in options.values() if step.rule == "copy"]
        return copies[0] if copies else options[FREE]

    def why(self, name: str, mode: str = "same") -> str:
        """In words why the layer cannot stand for what it would have to."""
        reason = self._reasons.get((name, mode), "")
        while isinstance(reason, tuple):
            (name, mode), reason = reason, self._reasons.get(reason, "")
        return f"{name}: {reason or 'does not stand where it stood in the parent'}"

    def _say(self, layer: Layer, mode: Literal["same", "zero"], reason: _Reason) -> None:
        self._reasons.setdefault((layer.name, mode), reason)

    # A layer as its namesake

    def _copied(self, layer: Layer) -> Step | None:
        namesake = self.parent.by_name.get(layer.name)
        if namesake is None:
            return None
        changed = same_settings(namesake, layer)
        if namesake.kind != layer.kind:
            changed = f"was {namesake.kind} and becomes {layer.kind}"
        if changed is not None:
            self._say(layer, "same", changed)
            return None
        inputs = self._kept(layer, namesake)
        # Last: where an input has changed, that is the reason.
        changed = None if inputs is None else self._resized(namesake, layer)
        if changed is not None:
            self._say(layer, "same", changed)
        return None if inputs is None or changed else Step("copy", self.meanings.of(layer.name), inputs)

    def _kept(self, layer: Layer, namesake: Layer) -> tuple[str, ...] | None:
        """What its inputs mean if they are those of its namesake."""
        wanted = [self.meanings.of(name) for name in namesake.inputs]
        if layer.kind == "add":
            return self._matched(layer, namesake, [meaning for meaning in wanted if meaning != ZERO], ZERO)
        if layer.kind == "concat":
            return self._matched(layer, namesake, wanted, FREE)
        for name, before, meaning in zip(layer.inputs, namesake.inputs, wanted, strict=True):
            if meaning not in self.of[name]:
                self._say(layer, "same", self._other(name, before))
                return None
        return tuple(wanted)

    def _other(self, name: str, before: str) -> _Reason:
        """Why an input ``name`` is not what the parent's input ``before`` was."""
        if name != before and self.of[name].keys() - {ZERO, FREE}:
            return f"takes {name} where it took {before}; one can be added, not taken away or replaced"
        return (name, "same")

    def _resized(self, namesake: Layer, layer: Layer) -> str | None:
        """Why its sizes cannot be what they are."""
        if layer.kind != "flatten" and namesake.shape[:-1] != layer.shape[:-1]:
            return f"its output had {namesake.shape[:-1]} positions and gets {layer.shape[:-1]}"
        if layer.shape[-1] < namesake.shape[-1]:
            return f"gets narrower, from {namesake.shape[-1]} to {layer.shape[-1]}; a network can grow, not shrink"
        old, new = namesake.settings.get("kernel"), layer.settings.get("kernel")
        if old is not None and new is not None and old != new:
            try:
                kernel_offset(self._sizes(layer), layer.settings["stride"], old, new, layer.settings.get("dilation", 1))
            except ValueError as error:
                return str(error)
        return None

    def _sizes(self, layer: Layer) -> tuple[int, ...]:
        return self.child.by_name[layer.inputs[0]].shape[:-1]

    def _matched(self, layer: Layer, namesake: Layer, wanted: Sequence[str], rest: str) -> tuple[str, ...] | None:
        """What each input of a sum or a concatenation means: each that is wanted stands once, the others ``rest``."""
        inputs: list[str | None] = [None] * len(layer.inputs)
        for meaning in wanted:
            places = [
                place for place, name in enumerate(layer.inputs) if inputs[place] is None and meaning in self.of[name]
            ]
            if not places:
                self._say(layer, "same", self._missing(layer, namesake, meaning))
                return None
            # Its namesake first: another one could stand for it only by becoming an identity.
            inputs[min(places, key=lambda place: self.of[layer.inputs[place]][meaning].rule != "copy")] = meaning
        for place, name in enumerate(layer.inputs):
            if inputs[place] is None and rest not in self.of[name]:
                self._say(layer, "same", (name, "zero"))
                return None
        return tuple(rest if meaning is None else meaning for meaning in inputs)

    def _missing(self, layer: Layer, namesake: Layer, meaning: str) -> _Reason:
        for name in namesake.inputs:
            if self.meanings.of(name) == meaning and name in layer.inputs:
                return (name, "same")
        new = [name for name in layer.inputs if name not in namesake.inputs]
        return self._other(new[0] if new else layer.inputs[0], meaning)

    # A layer that its parent has not

    def _identities(self, layer: Layer) -> list[Step]:
        """The layer as one that passes on what its input means."""
        if layer.kind in ("add", "concat"):
            return self._sums(layer)
        if not layer.inputs:
            return []
        source = layer.inputs[0]
        found = []
        for meaning in self.of[source]:
            if meaning in (ZERO, FREE):
                continue
            reason = self._no_identity(layer, meaning)
            if reason is None:
                found.append(Step("identity", meaning, (meaning,)))
            else:
                self._say(layer, "same", reason)
        if not found:
            self._say(layer, "same", (source, "same"))
        return found

    def _no_identity(self, layer: Layer, meaning: str) -> str | None:
        settings, kind = layer.settings, layer.kind
        if kind in ("conv", "depthwise") and settings["stride"] != 1:
            return f"a new layer of stride {settings['stride']} cannot be an identity"
        if kind in ("conv", "depthwise") and settings["kernel"] % 2 == 0 and settings.get("dilation", 1) > 1:
            return f"a new dilated kernel of {settings['kernel']} has no middle, so it cannot be an identity"
        if kind in ("conv", "dense") and layer.shape[-1] < self.meanings.channels(meaning):
            return f"a new layer of {layer.shape[-1]} channels cannot pass {self.meanings.channels(meaning)} on"
        if kind in ("activation", "dense"):
            function = settings["function"] if kind == "activation" else settings["activation"]
            return why_not_identity(function, self.meanings.nonnegative(meaning))
        if kind in ("conv", "depthwise", "batch_norm", "dropout"):
            return None
        return f"a new {kind} cannot be an identity"

    def _sums(self, layer: Layer) -> list[Step]:
        """A new sum of one input and zeros, or a new concatenation of one and anything."""
        rest = ZERO if layer.kind == "add" else FREE
        found = []
        for place, name in enumerate(layer.inputs):
            others = [other for index, other in enumerate(layer.inputs) if index != place]
            blocked = [other for other in others if rest not in self.of[other]]
            if blocked:
                self._say(layer, "same", (blocked[-1], "zero"))
                continue
            for meaning in self.of[name]:
                if meaning not in (ZERO, FREE):
                    inputs = tuple(meaning if index == place else rest for index in range(len(layer.inputs)))
                    found.append(Step("identity", meaning, inputs))
        if not found:
            self._say(layer, "same", (layer.inputs[-1], "same"))
        return found

    # A branch that begins at zero

    def _zero(self, layer: Layer) -> Step | None:
        kind = layer.kind
        free, zeros = (FREE,) * len(layer.inputs), (ZERO,) * len(layer.inputs)
        if kind == "zero":
            return Step("pass", ZERO, free)
        if kind in ("conv", "depthwise", "batch_norm", "layer_norm", "dense"):
            reason = why_not_zero(layer.settings["activation"]) if kind == "dense" else None
            if reason is not None:
                self._say(layer, "zero", reason)
                return None
            return Step("zero", ZERO, free)
        if kind in ("input", "layer"):
            self._say(layer, "zero", "cannot begin at zero; end the new branch in a normalization")
            return None
        reason = why_not_zero(layer.settings["function"]) if kind == "activation" else None
        if reason is not None:
            self._say(layer, "zero", reason)
            return None
        for name in layer.inputs:
            if ZERO not in self.of[name]:
                self._say(layer, "zero", (name, "zero"))
                return None
        return Step("pass", ZERO, zeros)
