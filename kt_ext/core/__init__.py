"""The words everything else speaks: numpy and the standard library only."""

from kt_ext._lazy import of_modules

__getattr__, __dir__ = of_modules(
    __name__, ("decision", "explorer", "history", "lineage", "scheduler", "searcher", "simulate", "space")
)
