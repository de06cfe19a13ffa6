"""Every scheduler, made small enough for a search to end within a few hundred events. A new scheduler adds a row."""

from __future__ import annotations

from collections.abc import Callable

from kt_ext.core.scheduler import AbstractScheduler
from kt_ext.schedulers import (
    ASHA,
    FIFO,
    PASHA,
    PBT,
    ExtrapolationRule,
    Hyperband,
    MedianRule,
    Patience,
    Plateau,
    Racing,
    Target,
    WilcoxonRule,
)

SCHEDULERS: dict[str, Callable[[], AbstractScheduler]] = {
    "fifo": lambda: FIFO(max_trials=7, max_epochs=4),
    "asha": lambda: ASHA(9),
    "asha, odd epochs": lambda: ASHA(11, min_epochs=2, factor=2, max_trials=30),
    "asha, brackets": lambda: ASHA(9, brackets=3, max_trials=30),
    "asha, one rung": lambda: ASHA(3, min_epochs=3),
    "asha, stopping": lambda: ASHA(9, variant="stopping"),
    "asha, decisive": lambda: ASHA(9, variant="decisive"),
    "asha, decisive, brackets": lambda: ASHA(8, factor=2, brackets=4, max_trials=30, variant="decisive"),
    "hyperband, decisive": lambda: Hyperband(9, variant="decisive"),
    "asha, stopping, brackets": lambda: ASHA(8, factor=2, brackets=4, max_trials=30, variant="stopping"),
    "hyperband": lambda: Hyperband(9),
    "hyperband, odd epochs": lambda: Hyperband(11, min_epochs=2, factor=2, max_trials=30),
    "hyperband, two brackets": lambda: Hyperband(8, factor=2, brackets=2, max_trials=30),
    "hyperband, stopping": lambda: Hyperband(9, max_trials=30, variant="stopping"),
    "hyperband, learned": lambda: Hyperband(8, factor=2, max_trials=40, bracket_choice="learned"),
    "hyperband, learned, stopping": lambda: Hyperband(9, max_trials=40, variant="stopping", bracket_choice="learned"),
    "pasha": lambda: PASHA(9),
    "pasha, odd epochs": lambda: PASHA(11, min_epochs=2, factor=2, max_trials=30),
    "pasha, two finish": lambda: PASHA(16, factor=2, max_trials=20, finish=2),
    "pasha, one rung": lambda: PASHA(3, min_epochs=3, max_trials=9),
    "pbt": lambda: PBT(6, 7, 2),
    "pbt, synchronous": lambda: PBT(5, 6, synchronous=True),
    "pbt, asynchronous": lambda: PBT(6, 7, 2, burn_in=3, quantile_fraction=0.5, synchronous=False),
    "pbt, tournament": lambda: PBT(4, 6, exploit="tournament", synchronous=False),
    "pbt, ttest": lambda: PBT(4, 9, exploit="ttest"),
    "pbt, alone": lambda: PBT(1, 4),
    "pbt, no boundary": lambda: PBT(3, 4, 4),
    "racing": lambda: Racing(6, 12, first_test=3, min_survivors=2, trials_per_race=5),
    "racing, t": lambda: Racing(5, 9, first_test=2, each_test=2, test="t", min_survivors=1, trials_per_race=4),
    "racing, one race": lambda: Racing(4, 6, first_test=4),
}

# Each stopping rule around a scheduler that stops nobody and around one that pauses trials.
RULES: dict[str, Callable[[AbstractScheduler], AbstractScheduler]] = {
    "median": lambda inner: MedianRule(inner, min_trials=2),
    "patience": lambda inner: Patience(inner, 2),
    "plateau": lambda inner: Plateau(inner, window=3, min_slope=0.5, standard_errors=1),
    "target": lambda inner: Target(inner, 0.5),
    "wilcoxon": lambda inner: WilcoxonRule(inner, 0.3, window=2),
    "extrapolation": lambda inner: ExtrapolationRule(inner, 0.2, min_epochs=3),
    "three rules": lambda inner: Patience(WilcoxonRule(MedianRule(inner, min_trials=3), 0.3), 3),
}
SCHEDULERS |= {f"fifo, {name}": lambda rule=rule: rule(FIFO(9, 6)) for name, rule in RULES.items()}
SCHEDULERS |= {f"asha, {name}": lambda rule=rule: rule(ASHA(9)) for name, rule in RULES.items()}
# The rules differ little in what the contract asks; most of them around ASHA are left to the long run.
SLOW = {f"asha, {name}" for name in RULES} - {"asha, median", "asha, three rules"} | {"fifo, patience", "fifo, plateau"}
# A trial that does not improve may end, though no other is better.
IMPATIENT = (Patience, Plateau, Target)
