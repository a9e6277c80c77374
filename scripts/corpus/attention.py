"""Attention and transformer blocks."""

from __future__ import annotations

from functools import partial
from typing import Any

from scripts.corpus import data
from scripts.corpus.fitting import classifier
from scripts.corpus.registry import BOTH, Built, model


def _block(keras: Any, x: Any, gelu: Any, *, causal: bool = False) -> Any:
    k = keras.layers
    width = x.shape[-1]
    y = k.LayerNormalization(epsilon=1e-6)(x)
    y = k.MultiHeadAttention(4, width // 4, dropout=0.1)(y, y, use_causal_mask=causal)
    x = k.Add()([x, y])
    y = k.LayerNormalization(epsilon=1e-6)(x)
    y = k.Dense(width)(k.Dense(2 * width, activation=gelu)(y))
    return k.Add()([x, y])


def _encoder(keras: Any, gelu: Any, *, causal: bool = False) -> Built:
    k = keras.layers
    samples, labels = data.series(24, 6)
    signal = keras.Input((24, 6), name="signal")
    x = _block(keras, k.Dense(32)(signal), gelu, causal=causal)
    x = k.GlobalAveragePooling1D()(k.LayerNormalization()(_block(keras, x, gelu, causal=causal)))
    network = keras.Model(signal, k.Dense(4, activation="softmax", name="scores")(x))
    return classifier(keras, network, {"signal": samples}, labels)


@model("transformer_exact_gelu", framework=BOTH)
def transformer_exact_gelu(keras: Any) -> Built:
    """Transformer encoder, exact (erf) GELU."""
    return _encoder(keras, keras.activations.gelu)


@model("transformer_tanh_gelu", framework="keras3")
def transformer_tanh_gelu(keras: Any) -> Built:
    """Transformer encoder with GELU approximated by tanh, as a layer of its own."""
    k = keras.layers
    samples, labels = data.series(24, 6)
    signal = keras.Input((24, 6), name="signal")
    x = k.Dense(32)(signal)
    y = k.MultiHeadAttention(2, 16)(x, x)
    x = k.LayerNormalization()(k.Add()([x, y]))
    y = _tanh_gelu(keras, k.Dense(48)(x))
    x = k.LayerNormalization()(k.Add()([x, k.Dense(32)(y)]))
    network = keras.Model(
        signal, k.Dense(4, activation="softmax", name="scores")(k.GlobalAveragePooling1D()(x))
    )
    return classifier(keras, network, {"signal": samples}, labels)


def _tanh_gelu(keras: Any, x: Any) -> Any:
    return keras.ops.gelu(x, approximate=True)


@model("transformer_causal")
def transformer_causal(keras: Any) -> Built:
    """Transformer decoder block with a causal mask and ReLU."""
    return _encoder(keras, "relu", causal=True)


@model("text_transformer")
def text_transformer(keras: Any) -> Built:
    """Token and positional embedding of int32 ids, one transformer block."""
    k = keras.layers
    ids, labels = data.tokens(20, 200)
    text = keras.Input((20,), dtype="int32", name="text")
    positions = keras.ops.arange(20)
    x = k.Embedding(200, 32)(text) + k.Embedding(20, 32)(positions)
    x = k.GlobalAveragePooling1D()(_block(keras, x, keras.activations.gelu))
    network = keras.Model(text, k.Dense(4, activation="softmax", name="scores")(x))
    return classifier(keras, network, {"text": ids}, labels)


@model("text_transformer_masked")
def text_transformer_masked(keras: Any) -> Built:
    """Attention with a padding mask from Embedding(mask_zero)."""
    k = keras.layers
    ids, labels = data.tokens(20, 200, padded=True)
    text = keras.Input((20,), dtype="int32", name="text")
    x = k.Embedding(200, 32, mask_zero=True)(text)
    y = k.MultiHeadAttention(4, 8)(x, x)
    x = k.LayerNormalization()(k.Add()([x, y]))
    network = keras.Model(
        text, k.Dense(4, activation="softmax", name="scores")(k.GlobalAveragePooling1D()(x))
    )
    return classifier(keras, network, {"text": ids}, labels)


@model("vision_transformer")
def vision_transformer(keras: Any) -> Built:
    """Vision transformer: patches by convolution, learned positions, two blocks."""
    k = keras.layers
    samples, labels = data.images(32)
    image = keras.Input((32, 32, 3), name="image")
    x = k.Reshape((16, 32))(k.Conv2D(32, 8, strides=8)(image))
    x = x + k.Embedding(16, 32)(keras.ops.arange(16))
    for _ in range(2):
        x = _block(keras, x, keras.activations.gelu)
    x = k.Flatten()(k.LayerNormalization()(x))
    x = k.Dense(48, activation="tanh")(x)
    network = keras.Model(image, k.Dense(10, activation="softmax", name="scores")(x))
    return classifier(keras, network, {"image": samples}, labels)


@model("cross_attention")
def cross_attention(keras: Any) -> Built:
    """One series attends to another; two inputs."""
    k = keras.layers
    query, labels = data.series(12, 4)
    context, _ = data.series(20, 6)
    asks, told = keras.Input((12, 4), name="asks"), keras.Input((20, 6), name="told")
    x = k.MultiHeadAttention(2, 12)(k.Dense(24)(asks), k.Dense(24)(told))
    x = k.GlobalAveragePooling1D()(k.LayerNormalization()(x))
    network = keras.Model([asks, told], k.Dense(4, activation="softmax", name="scores")(x))
    return classifier(keras, network, {"asks": query, "told": context}, labels)


@model("additive_attention", framework=BOTH)
def additive_attention(keras: Any) -> Built:
    """Attention and AdditiveAttention layers on a convolved series."""
    k = keras.layers
    samples, labels = data.series(24, 6)
    signal = keras.Input((24, 6), name="signal")
    x = k.Conv1D(16, 3, padding="same", activation="relu")(signal)
    x = k.Concatenate()([k.Attention(use_scale=True)([x, x]), k.AdditiveAttention()([x, x])])
    network = keras.Model(
        signal, k.Dense(4, activation="softmax", name="scores")(k.GlobalMaxPooling1D()(x))
    )
    return classifier(keras, network, {"signal": samples}, labels)


@model("mlp_mixer")
def mlp_mixer(keras: Any) -> Built:
    """MLP-Mixer: Dense over patches and over channels by turns, exact GELU."""
    k = keras.layers
    samples, labels = data.images(32)
    image = keras.Input((32, 32, 3), name="image")
    x = k.Reshape((64, 24))(k.Conv2D(24, 4, strides=4)(image))
    gelu = partial(k.Activation, keras.activations.gelu)
    for _ in range(2):
        y = k.Permute((2, 1))(k.LayerNormalization()(x))
        y = k.Dense(64)(gelu()(k.Dense(32)(y)))
        x = k.Add()([x, k.Permute((2, 1))(y)])
        y = k.Dense(24)(gelu()(k.Dense(48)(k.LayerNormalization()(x))))
        x = k.Add()([x, y])
    network = keras.Model(
        image, k.Dense(10, activation="softmax", name="scores")(k.GlobalAveragePooling1D()(x))
    )
    return classifier(keras, network, {"image": samples}, labels)


@model("einsum_dense")
def einsum_dense(keras: Any) -> Built:
    """EinsumDense with two output axes, and Softmax over a middle axis."""
    k = keras.layers
    samples, labels = data.series(16, 6)
    signal = keras.Input((16, 6), name="signal")
    x = k.EinsumDense("abc,cde->abde", output_shape=(None, 4, 8), bias_axes="de")(signal)
    weights = k.Softmax(axis=1)(x)
    x = k.Multiply()([x, weights])
    x = k.EinsumDense("abde,def->abf", output_shape=(None, 24), activation="relu")(x)
    x = k.GlobalAveragePooling1D()(x)
    network = keras.Model(signal, k.Dense(4, activation="softmax", name="scores")(x))
    return classifier(keras, network, {"signal": samples}, labels)
