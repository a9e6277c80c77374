"""Keras 2 models as Keras 3 models that compute the same."""
