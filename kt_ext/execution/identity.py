"""Which search a chief and its workers mean: a script may run several, one after the other, at one address."""

from __future__ import annotations

import hashlib
import json

from kt_ext.oracles import SchedulerOracle
from kt_ext.oracles.resume import settings_of


def search_of(oracle: SchedulerOracle) -> str | None:
    """The same text in all processes of a search: its project's name, objective and scheduler settings.

    The directory is left out, since machines may see it at different places, and the seed, which may be drawn. None for
    an oracle that no tuner has given a directory.
    """
    if oracle.files is None:
        return None
    said = [oracle.files.directory.name, str(oracle.objective), settings_of(oracle.scheduler_as_given.state())]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]
