"""All domains of hyperparameters, and their form in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from kt_ext.core.categorical import Boolean, Choice, Fixed
from kt_ext.core.numeric import Float, Int

Domain = Float | Int | Choice | Boolean | Fixed
_KINDS: dict[str, type] = {cls.__name__.lower(): cls for cls in (Float, Int, Choice, Boolean, Fixed)}


def domain_to_json(domain: Domain) -> dict[str, Any]:
    """The domain as a JSON object, e.g. ``{"type": "int", "low": 1, "high": 9, "step": null, "scale": "log"}``."""
    return {"type": type(domain).__name__.lower(), **asdict(domain)}


def domain_from_json(record: Mapping[str, Any]) -> Domain:
    """The inverse of ``domain_to_json``. Raises KeyError for an unknown type."""
    fields = dict(record)
    return _KINDS[fields.pop("type")](**fields)
