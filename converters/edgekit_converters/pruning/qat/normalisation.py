"""What a batch normalisation does at inference, and the weights of a layer that does it too."""

from __future__ import annotations

from typing import Any

import numpy as np


def scale_and_shift(norm: Any) -> tuple[Any, Any]:
    """What a batch normalisation multiplies by and adds at inference, of each channel."""
    mean = np.asarray(norm.moving_mean, np.float64)
    variance = np.asarray(norm.moving_variance, np.float64)
    gamma = np.asarray(norm.gamma, np.float64) if norm.scale else np.ones_like(mean)
    beta = np.asarray(norm.beta, np.float64) if norm.center else np.zeros_like(mean)
    scale = gamma / np.sqrt(variance + norm.epsilon)
    return scale, beta - mean * scale


def shift_weights(norm: Any) -> list[Any]:
    """Weights of a batch normalisation that only adds what `norm` adds: beta, mean, variance."""
    shift = scale_and_shift(norm)[1].astype(np.float32)
    epsilon = np.float32(norm.epsilon)
    variance = np.float32(1) - epsilon
    while variance + epsilon < 1:
        variance = np.nextafter(variance, np.float32(2))
    return [shift, np.zeros_like(shift), np.full_like(shift, variance)]


def folded_weights(layer: Any, norm: Any, *, whole: bool) -> list[Any]:
    """Kernel and bias of `layer` with the batch normalisation `norm` behind it inside.

    With s = gamma / sqrt(variance + epsilon) of each channel: kernel * s, and
    (bias - mean) * s + beta. Without `whole` only bias * s: the rest is still added behind it.
    """
    scale, shift = scale_and_shift(norm)
    kernel = np.asarray(layer.kernel, np.float64)
    bias = np.asarray(layer.bias, np.float64) if layer.use_bias else np.zeros_like(scale)
    kind = type(layer).__name__
    if kind.startswith("Depthwise"):
        kernel = kernel * scale.reshape(kernel.shape[-2:])
    elif kind.endswith("Transpose"):
        kernel = kernel * scale[:, np.newaxis]
    else:
        kernel = kernel * scale
    bias = bias * scale + (shift if whole else 0)
    return [kernel.astype(np.float32), bias.astype(np.float32)]
