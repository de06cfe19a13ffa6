"""Tables and pictures of a search and of what it found."""

from kt_ext._lazy import of_modules

__getattr__, __dir__ = of_modules(__name__, ("optuna_study", "record", "tables", "trial_record"))
