"""Keras architectures with seeded weights and data, for the support matrix and for tests."""
