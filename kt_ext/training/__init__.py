"""What happens while a model trains: building, checkpoints, data order, live hyperparameters, the callback."""

from kt_ext._lazy import of_modules

# It loads Keras: imported when first used.
__getattr__, __dir__ = of_modules(__name__, ("live",))
