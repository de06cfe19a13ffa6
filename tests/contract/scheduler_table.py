"""Every scheduler, made small enough for a search to end within a few hundred events. A new scheduler adds a row."""

from __future__ import annotations

from collections.abc import Callable

from kt_ext.core.scheduler import AbstractScheduler
from kt_ext.schedulers import ASHA, FIFO, PBT

SCHEDULERS: dict[str, Callable[[], AbstractScheduler]] = {
    "fifo": lambda: FIFO(max_trials=7, max_epochs=4),
    "asha": lambda: ASHA(9),
    "asha, odd epochs": lambda: ASHA(11, min_epochs=2, factor=2, max_trials=30),
    "asha, brackets": lambda: ASHA(9, brackets=3, max_trials=30),
    "asha, one rung": lambda: ASHA(3, min_epochs=3),
    "asha, stopping": lambda: ASHA(9, variant="stopping"),
    "asha, stopping, brackets": lambda: ASHA(8, factor=2, brackets=4, max_trials=30, variant="stopping"),
    "pbt": lambda: PBT(6, 7, 2),
    "pbt, synchronous": lambda: PBT(5, 6, synchronous=True),
    "pbt, asynchronous": lambda: PBT(6, 7, 2, burn_in=3, quantile_fraction=0.5, synchronous=False),
    "pbt, tournament": lambda: PBT(4, 6, exploit="tournament", synchronous=False),
    "pbt, ttest": lambda: PBT(4, 9, exploit="ttest"),
    "pbt, alone": lambda: PBT(1, 4),
    "pbt, no boundary": lambda: PBT(3, 4, 4),
}
