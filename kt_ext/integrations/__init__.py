"""Other hosts of a search: TFX pipelines and TensorBoard."""
