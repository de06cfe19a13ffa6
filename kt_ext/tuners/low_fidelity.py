"""Smaller models and fewer, smaller data for a search at low fidelity."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kt_ext.nas.estimators import LowFidelity
from kt_ext.networks.hypermodel import ArchitectureHyperModel
from kt_ext.training.subset import fewer, smaller, smaller_shape


def cheaper(hypermodel: ArchitectureHyperModel, low: LowFidelity) -> ArchitectureHyperModel:
    """The hypermodel of the smaller models. Raises ValueError where the input cannot be made smaller."""
    shape = smaller_shape(hypermodel.input_shape, low.resolution) if low.resolution < 1 else hypermodel.input_shape
    return hypermodel.at(scale=low.scale, input_shape=shape)


def cheaper_data(
    low: LowFidelity,
    fit_args: tuple[Any, ...],
    fit_kwargs: Mapping[str, Any],
    data_fn: Callable[[], Mapping[str, Any]] | None,
    seed: int,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of ``fit`` with less data. Raises TypeError, ValueError where they cannot be had."""
    if low.data == low.resolution == 1:
        return fit_args, dict(fit_kwargs)
    if data_fn is not None:
        raise ValueError(
            f"LowFidelity(data={low.data:g}, resolution={low.resolution:g}) with data_fn: what it makes is not known "
            "here; give arrays to search, or lower filters, cells or epochs instead"
        )
    given, named = tuple(fit_args), dict(fit_kwargs)
    if low.data < 1:
        given, named = fewer(given, named, low.data, seed)
    if low.resolution < 1:
        given, named = smaller(given, named, low.resolution)
    return given, named
