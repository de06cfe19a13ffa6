"""Architectures in Keras: networks built, measured and changed, on any backend."""
