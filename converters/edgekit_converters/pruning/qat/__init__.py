"""Quantization-aware training of Keras 3 models, and the ranges it learns."""
