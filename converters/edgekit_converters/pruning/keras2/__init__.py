"""Keras 2 models: pruned, clustered and quantized by tensorflow-model-optimization."""
