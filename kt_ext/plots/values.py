"""How the objective depends on the hyperparameters: Optuna's pictures of the search."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kt_ext.plots.render import Backend, checked
from kt_ext.reports.optuna_study import objective_name, to_optuna_study
from kt_ext.reports.record import read

if TYPE_CHECKING:
    from optuna.importance import BaseImportanceEvaluator
    from optuna.trial import FrozenTrial

    Target = Callable[[FrozenTrial], float]

Source = str | os.PathLike[str] | Any


def plot_parallel_coordinate(
    source: Source,
    params: Sequence[str] | None = None,
    *,
    target: Target | None = None,
    target_name: str | None = None,
    backend: Backend = "matplotlib",
) -> Any:
    """Each trial as a line through its values, coloured by its score.

    Trials that were paused or stopped early count with the score that they reached; with
    ``target=lambda trial: trial.intermediate_values[1]`` all are compared after their first epoch.

    Args:
        source: a project directory, a tuner, or a record.
        params: which hyperparameters; None: all.
        target: what counts in place of the score, from an Optuna trial; see ``kt_ext.to_optuna_study``.
        target_name: its label; None: the objective's.
        backend: "matplotlib" or "plotly".

    Returns:
        The figure.

    Raises:
        ValueError: a name in ``params`` or ``backend`` is unknown, or fewer than two trials have a score.
        ImportError: the backend or Optuna is not installed.
    """
    return _by_optuna("plot_parallel_coordinate", source, params, target, target_name, backend)


def plot_slice(
    source: Source,
    params: Sequence[str] | None = None,
    *,
    target: Target | None = None,
    target_name: str | None = None,
    backend: Backend = "matplotlib",
) -> Any:
    """The score against each hyperparameter; arguments, returns and errors as ``plot_parallel_coordinate``.

    Where objectives are compared by domination ``target`` must say which one, e.g. ``lambda trial: trial.values[0]``.
    """
    return _by_optuna("plot_slice", source, params, target, target_name, backend)


def plot_contour(
    source: Source,
    params: Sequence[str] | None = None,
    *,
    target: Target | None = None,
    target_name: str | None = None,
    backend: Backend = "matplotlib",
) -> Any:
    """The score over pairs of hyperparameters, all pairs of ``params``; otherwise as ``plot_slice``."""
    return _by_optuna("plot_contour", source, params, target, target_name, backend)


def plot_param_importances(
    source: Source,
    evaluator: BaseImportanceEvaluator | None = None,
    params: Sequence[str] | None = None,
    *,
    target: Target | None = None,
    target_name: str | None = None,
    backend: Backend = "matplotlib",
) -> Any:
    """The share of the score's variance that each hyperparameter explains.

    Args:
        source, params, target, target_name, backend: as in ``plot_parallel_coordinate``.
        evaluator: of ``optuna.importance``; None: fANOVA (Hutter et al., 2014, a random forest's; its seed is 0), which
            takes only hyperparameters that every trial has, unless ``params`` names others.

    Returns, Raises: as ``plot_parallel_coordinate``.
    """
    if evaluator is None:
        _need_optuna()
        from optuna.importance import FanovaImportanceEvaluator

        evaluator = FanovaImportanceEvaluator(seed=0)
    return _by_optuna("plot_param_importances", source, params, target, target_name, backend, evaluator=evaluator)


def plot_pareto_front(
    source: Source,
    *,
    target_names: Sequence[str] | None = None,
    include_dominated_trials: bool = True,
    backend: Backend = "matplotlib",
) -> Any:
    """The trials by two or three objectives, those that no other dominates in another colour.

    Args:
        source: the project directory, tuner or record of a search with ``multi_objective="pareto"``.
        target_names: labels of the objectives; None: their metrics.
        include_dominated_trials: whether the others are shown.
        backend: "matplotlib" or "plotly".

    Returns:
        The figure.

    Raises:
        ValueError: objectives are not compared by domination, there are more than three, or no trial has a score.
        ImportError: the backend or Optuna is not installed.
    """
    record = read(source)
    if not record.pareto:
        raise ValueError(
            f"source={str(record.directory)!r}: {record.objective} is one number and has no Pareto front; give a list "
            'of objectives and multi_objective="pareto" to the search'
        )
    names = list(target_names or record.directions)
    if len(record.directions) > 3:
        raise ValueError(f"source={str(record.directory)!r}: {len(record.directions)} objectives; 2 or 3 can be drawn")
    return _drawn(
        "plot_pareto_front", record, 1, backend, target_names=names, include_dominated_trials=include_dominated_trials
    )


def _by_optuna(
    picture: str,
    source: Source,
    params: Sequence[str] | None,
    target: Target | None,
    target_name: str | None,
    backend: Backend,
    **also: Any,
) -> Any:
    record = read(source)
    unknown = [name for name in params or () if name not in record.names]
    if unknown:
        raise ValueError(
            f"params={list(params or ())!r}: there is no {unknown[0]!r}; there are {', '.join(record.names)}"
        )
    if record.pareto and target is None and picture in ("plot_slice", "plot_contour"):
        raise ValueError(
            f"target=None: {record.objective} are compared by domination; say which one, e.g. by "
            "target=lambda trial: trial.values[0]"
        )
    label = target_name or (objective_name(record) if target is None else "target")
    given = None if params is None else list(params)
    return _drawn(picture, record, 2, backend, params=given, target=target, target_name=label, **also)


def _drawn(picture: str, source: Source, least: int, backend: Backend, **arguments: Any) -> Any:
    """Optuna's picture of that name as a figure; matplotlib's is taken from pyplot, which would show it again."""
    checked(backend)
    _need_optuna()
    import optuna

    record = read(source)
    scored = len(record.ranked())
    if scored < least:
        raise ValueError(f"source={str(record.directory)!r}: {scored} trials have a score, {least} are needed")
    study = to_optuna_study(record, pruned=False)
    if backend == "plotly":
        return getattr(optuna.visualization, picture)(study, **arguments)
    import matplotlib
    from matplotlib import pyplot

    side = 2.4 * len(arguments.get("params") or record.names)  # inches of a square of contours
    settings: dict[Any, Any] = {"figure.constrained_layout.use": True}
    if picture == "plot_contour":
        settings["figure.figsize"] = (max(6.4, side + 1.0), max(4.8, side))
    # Optuna's functions change matplotlib's settings for good.
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        axes = getattr(optuna.visualization.matplotlib, picture)(study, **arguments)
    figure = np.ravel(axes)[0].figure
    pyplot.close(figure)
    return figure


def _need_optuna() -> None:
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise ImportError("this picture is Optuna's: pip install optuna") from error
