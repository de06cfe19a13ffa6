"""Architecture search: spaces of architectures, strategies that choose among them, cheap estimates of their worth."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kt_ext.nas.draft import Draft, Scale
    from kt_ext.nas.estimators import CurveExtrapolation, Full, Inherit, LowFidelity, ZeroCost
    from kt_ext.nas.head import Head, classifier, regressor
    from kt_ext.nas.limits import Limits
    from kt_ext.nas.network import Layer, Network
    from kt_ext.nas.ops import OPS, Op, op
    from kt_ext.nas.records import Records
    from kt_ext.nas.searcher import ArchitectureSearcher
    from kt_ext.nas.space import AbstractArchitectureSpace, Architecture, Graph
    from kt_ext.nas.spaces.cell import CellSpace
    from kt_ext.nas.spaces.chain import ChainSpace
    from kt_ext.nas.spaces.macro import MacroSpace
    from kt_ext.nas.spaces.presets import darts, nb101, nb201, nb_macro
    from kt_ext.nas.spaces.skip import SkipSpace
    from kt_ext.nas.strategies.controller import Controller
    from kt_ext.nas.strategies.evolution import Evolution
    from kt_ext.nas.strategies.grid import Grid
    from kt_ext.nas.strategies.local_search import LocalSearch
    from kt_ext.nas.strategies.morphism import Morphism
    from kt_ext.nas.strategies.predictor import Predictor
    from kt_ext.nas.strategies.random import Random
    from kt_ext.nas.strategies.surrogate import Bayesian
    from kt_ext.nas.strategy import AbstractStrategy, Proposal

__all__ = [
    "OPS",
    "AbstractArchitectureSpace",
    "AbstractStrategy",
    "Architecture",
    "ArchitectureSearcher",
    "Bayesian",
    "CellSpace",
    "ChainSpace",
    "Controller",
    "CurveExtrapolation",
    "Draft",
    "Evolution",
    "Full",
    "Graph",
    "Grid",
    "Head",
    "Inherit",
    "Layer",
    "Limits",
    "LocalSearch",
    "LowFidelity",
    "MacroSpace",
    "Morphism",
    "Network",
    "Op",
    "Predictor",
    "Proposal",
    "Random",
    "Records",
    "Scale",
    "SkipSpace",
    "ZeroCost",
    "classifier",
    "darts",
    "nb101",
    "nb201",
    "nb_macro",
    "op",
    "regressor",
]

# Imported when first used: a script that needs a space never waits for the strategies.
_WHERE = {
    "OPS": "kt_ext.nas.ops",
    "AbstractArchitectureSpace": "kt_ext.nas.space",
    "AbstractStrategy": "kt_ext.nas.strategy",
    "Architecture": "kt_ext.nas.space",
    "ArchitectureSearcher": "kt_ext.nas.searcher",
    "Bayesian": "kt_ext.nas.strategies.surrogate",
    "CellSpace": "kt_ext.nas.spaces.cell",
    "ChainSpace": "kt_ext.nas.spaces.chain",
    "Controller": "kt_ext.nas.strategies.controller",
    "CurveExtrapolation": "kt_ext.nas.estimators",
    "Draft": "kt_ext.nas.draft",
    "Evolution": "kt_ext.nas.strategies.evolution",
    "Full": "kt_ext.nas.estimators",
    "Graph": "kt_ext.nas.space",
    "Grid": "kt_ext.nas.strategies.grid",
    "Head": "kt_ext.nas.head",
    "Inherit": "kt_ext.nas.estimators",
    "Layer": "kt_ext.nas.network",
    "Limits": "kt_ext.nas.limits",
    "LocalSearch": "kt_ext.nas.strategies.local_search",
    "LowFidelity": "kt_ext.nas.estimators",
    "MacroSpace": "kt_ext.nas.spaces.macro",
    "Morphism": "kt_ext.nas.strategies.morphism",
    "Network": "kt_ext.nas.network",
    "Op": "kt_ext.nas.ops",
    "Predictor": "kt_ext.nas.strategies.predictor",
    "Proposal": "kt_ext.nas.strategy",
    "Random": "kt_ext.nas.strategies.random",
    "Records": "kt_ext.nas.records",
    "Scale": "kt_ext.nas.draft",
    "SkipSpace": "kt_ext.nas.spaces.skip",
    "ZeroCost": "kt_ext.nas.estimators",
    "classifier": "kt_ext.nas.head",
    "darts": "kt_ext.nas.spaces.presets",
    "nb101": "kt_ext.nas.spaces.presets",
    "nb201": "kt_ext.nas.spaces.presets",
    "nb_macro": "kt_ext.nas.spaces.presets",
    "op": "kt_ext.nas.ops",
    "regressor": "kt_ext.nas.head",
}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'kt_ext.nas' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
