"""What a change of a network is: one of the moves that keep its function, or none of them."""

from __future__ import annotations

from typing import Literal

from kt_ext.nas.channels import Channels, channels
from kt_ext.nas.network import Network
from kt_ext.nas.preserve import FREE, ZERO, NotPreserved, Step, steps

Move = Literal["widen", "deepen", "skip", "kernel"]
#: In the order in which a change that is several of them is named.
MOVES: tuple[Move, ...] = ("deepen", "skip", "widen", "kernel")


def kind_of_move(parent: Network, child: Network) -> Move | None:
    """What kind of change makes ``child`` of ``parent``, if it can begin as the same function at inference.

    "widen": more channels; "deepen": new layers on the way, or a residual block; "skip": another summand or more
    inputs of a concatenation; "kernel": larger kernels. Of several the first of ``MOVES``. None if the function cannot
    be kept, or nothing changes but dropout.
    """
    if child.params <= parent.params:  # whatever is added has weights
        return None
    try:
        how = steps(parent, child)
        laid = channels(parent, child, how)
    except NotPreserved:
        return None
    found = moves_of(parent, child, how, laid)
    return next((move for move in MOVES if move in found), None)


def moves_of(parent: Network, child: Network, how: dict[str, Step], laid: Channels) -> set[Move]:
    """All the moves that together make ``child`` of ``parent``."""
    found: set[Move] = set()
    if any(n_child > n_parent for n_child, n_parent in laid.sizes.values()):
        found.add("widen")
    for layer in child.layers:
        step, namesake = how[layer.name], parent.by_name.get(layer.name)
        if step.rule == "copy" and namesake is not None:
            if layer.settings.get("kernel") != namesake.settings.get("kernel"):
                found.add("kernel")
            if len(layer.inputs) > len(namesake.inputs):
                found.add("skip")
        elif step.rule == "identity" and layer.kind in ("add", "concat"):
            found.add("deepen" if _is_residual(child, how, layer.name) else "skip")
        elif step.rule == "identity" and layer.kind != "dropout":
            found.add("deepen")
        elif step.rule == "zero" and layer.name not in parent.by_name:
            found.add("skip")
    return found


def _is_residual(child: Network, how: dict[str, Step], name: str) -> bool:
    """Whether the other inputs of a new sum come from its one input that is no zero, by new layers alone."""
    step = how[name]
    kept = next(meaning for meaning in step.inputs if meaning not in (ZERO, FREE))
    stack = [each for each, meaning in zip(child.by_name[name].inputs, step.inputs, strict=True) if meaning != kept]
    roots = set()
    while stack:
        one = stack.pop()
        if how[one].means in (ZERO, FREE):
            stack += child.by_name[one].inputs
        else:
            roots.add(how[one].means)
    return roots <= {kept}
