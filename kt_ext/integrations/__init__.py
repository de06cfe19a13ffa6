"""Other hosts of a search: TFX pipelines and TensorBoard."""

from kt_ext._lazy import of_modules

# Imported when first used: neither needs the other's packages.
__getattr__, __dir__ = of_modules(__name__, ("tensorboard", "tfx"))
