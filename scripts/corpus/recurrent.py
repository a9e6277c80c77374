"""Recurrent networks of each kind."""

from __future__ import annotations

from typing import Any

import numpy as np
from scripts.corpus import data
from scripts.corpus.fitting import classifier, regressor
from scripts.corpus.registry import BOTH, SAMPLES, Array, Built, model


def _series_model(keras: Any, body: Any, *, steps: int | None = 24) -> Built:
    samples, labels = data.series(24, 6)
    signal = keras.Input((steps, 6), name="signal")
    scores = keras.layers.Dense(4, activation="softmax", name="scores")(body(signal))
    return classifier(keras, keras.Model(signal, scores), {"signal": samples}, labels)


@model("lstm", framework=BOTH)
def lstm(keras: Any) -> Built:
    """LSTM, last step only."""
    return _series_model(keras, keras.layers.LSTM(24))


@model("gru", framework=BOTH)
def gru(keras: Any) -> Built:
    """GRU, last step only."""
    return _series_model(keras, keras.layers.GRU(24))


@model("simple_rnn", framework=BOTH)
def simple_rnn(keras: Any) -> Built:
    """SimpleRNN, last step only."""
    return _series_model(keras, keras.layers.SimpleRNN(24))


@model("gru_reset_before", framework=BOTH)
def gru_reset_before(keras: Any) -> Built:
    """GRU with reset_after=False."""
    return _series_model(keras, keras.layers.GRU(20, reset_after=False))


@model("bidirectional_lstm", framework=BOTH)
def bidirectional_lstm(keras: Any) -> Built:
    """Bidirectional LSTM, concatenated."""
    return _series_model(keras, keras.layers.Bidirectional(keras.layers.LSTM(16)))


@model("bidirectional_gru")
def bidirectional_gru(keras: Any) -> Built:
    """Bidirectional GRU, summed, over all steps, then pooled."""
    k = keras.layers

    def body(x: Any) -> Any:
        both = k.Bidirectional(k.GRU(16, return_sequences=True), merge_mode="sum")(x)
        return k.GlobalAveragePooling1D()(both)

    return _series_model(keras, body)


@model("stacked_lstm", framework=BOTH)
def stacked_lstm(keras: Any) -> Built:
    """Two LSTMs on top of each other, with dropout between, as a Sequential model."""
    k = keras.layers
    samples, labels = data.series(24, 6)
    network = keras.Sequential(
        [
            keras.Input((24, 6), name="signal"),
            k.LSTM(20, return_sequences=True, dropout=0.1),
            k.Dropout(0.2),
            k.LSTM(16),
            k.Dense(4, activation="softmax", name="scores"),
        ]
    )
    return classifier(keras, network, {"signal": samples}, labels)


@model("lstm_sequences", framework=BOTH)
def lstm_sequences(keras: Any) -> Built:
    """LSTM returning sequences, a Dense layer on each step."""
    k = keras.layers
    samples, labels = data.series(20, 5)
    signal = keras.Input((20, 5), name="signal")
    x = k.TimeDistributed(k.Dense(12, activation="relu"))(signal)
    x = k.LSTM(16, return_sequences=True)(x)
    network = keras.Model(signal, k.Dense(4, activation="softmax", name="scores")(x))
    return classifier(keras, network, {"signal": samples}, labels)


@model("lstm_free_length")
def lstm_free_length(keras: Any) -> Built:
    """LSTM on a series of free length."""
    return _series_model(keras, keras.layers.LSTM(16), steps=None)


@model("gru_unrolled", framework=BOTH)
def gru_unrolled(keras: Any) -> Built:
    """GRU already unrolled by its author."""
    return _series_model(keras, keras.layers.GRU(12, unroll=True))


@model("lstm_fixed_length", arguments=("--input-shape", "signal=1,24,6"))
def lstm_fixed_length(keras: Any) -> Built:
    """LSTM on a series of free length, fixed by --input-shape."""
    return lstm_free_length(keras)


@model("lstm_backwards")
def lstm_backwards(keras: Any) -> Built:
    """LSTM that reads backwards and hands its state to a second one."""
    k = keras.layers

    def body(x: Any) -> Any:
        _, hidden, cell = k.LSTM(16, go_backwards=True, return_state=True)(x)
        return k.LSTM(16)(x, initial_state=[hidden, cell])

    return _series_model(keras, body)


@model("convolution_then_gru")
def convolution_then_gru(keras: Any) -> Built:
    """Conv1D front end with BatchNormalization, then a GRU: a keyword spotter."""
    k = keras.layers

    def body(x: Any) -> Any:
        x = k.Conv1D(16, 5, strides=2, padding="same", use_bias=False)(x)
        return k.GRU(20)(k.ReLU()(k.BatchNormalization()(x)))

    return _series_model(keras, body)


@model("conv_lstm", framework=BOTH)
def conv_lstm(keras: Any) -> Built:
    """ConvLSTM2D on a short clip."""
    k = keras.layers
    samples, labels = data.volumes(6, 12)
    clip = keras.Input((6, 12, 12, 1), name="clip")
    x = k.ConvLSTM2D(6, 3, padding="same")(clip)
    x = k.Flatten()(k.MaxPooling2D(2)(x))
    network = keras.Model(clip, k.Dense(4, activation="softmax", name="scores")(x))
    return classifier(keras, network, {"clip": samples}, labels)


@model("masked_lstm", framework=BOTH)
def masked_lstm(keras: Any) -> Built:
    """Masking, then an LSTM; the series end in padding of zeros."""
    k = keras.layers
    samples, labels = data.series(24, 6)
    lengths = np.random.default_rng(3).integers(8, 25, (len(samples), 1, 1))
    samples = np.where(np.arange(24)[None, :, None] < lengths, samples, 0).astype(np.float32)
    signal = keras.Input((24, 6), name="signal")
    x = k.LSTM(16)(k.Masking(0.0)(signal))
    network = keras.Model(signal, k.Dense(4, activation="softmax", name="scores")(x))
    return classifier(keras, network, {"signal": samples}, labels)


@model("masked_embedding_gru", framework=BOTH)
def masked_embedding_gru(keras: Any) -> Built:
    """Embedding with mask_zero, then a bidirectional GRU, on padded token ids."""
    k = keras.layers
    ids, labels = data.tokens(20, 200, padded=True)
    text = keras.Input((20,), dtype="int32", name="text")
    x = k.Bidirectional(k.GRU(12))(k.Embedding(200, 16, mask_zero=True)(text))
    network = keras.Model(text, k.Dense(4, activation="softmax", name="scores")(x))
    return classifier(keras, network, {"text": ids}, labels)


@model("encoder_decoder")
def encoder_decoder(keras: Any) -> Built:
    """Sequence to sequence: the encoder's LSTM state starts the decoder; two inputs."""
    k = keras.layers
    source, labels = data.series(16, 4)
    previous, _ = data.series(12, 3, seed=1)
    past, known = keras.Input((16, 4), name="past"), keras.Input((12, 3), name="known")
    _, hidden, cell = k.LSTM(16, return_state=True)(past)
    x = k.LSTM(16, return_sequences=True)(known, initial_state=[hidden, cell])
    network = keras.Model([past, known], k.Dense(4, activation="softmax", name="scores")(x))
    return classifier(keras, network, {"past": source, "known": previous}, labels)


@model("lstm_forecast")
def lstm_forecast(keras: Any) -> Built:
    """LSTM forecasting one real number."""
    samples, _ = data.series(24, 6)
    signal = keras.Input((24, 6), name="signal")
    network = keras.Model(signal, keras.layers.Dense(1, name="next")(keras.layers.LSTM(16)(signal)))
    return regressor(keras, network, {"signal": samples}, samples[:, -1, 0])


def _stateful(keras: Any, layer: Any, batch: int) -> Built:
    samples, _ = data.series(10, 4)
    signal = keras.Input(batch_shape=(batch, 10, 4), name="signal")
    scores = keras.layers.Dense(3, name="scores")(layer(signal))
    network = keras.Model(signal, scores)
    kept: Array = samples[: SAMPLES // batch * batch]
    return Built(model=network, samples={"signal": kept})


@model("stateful_lstm", framework=BOTH, stateful_steps=3)
def stateful_lstm(keras: Any) -> Built:
    """Stateful LSTM, batch of 1: the state lives on between calls."""
    return _stateful(keras, keras.layers.LSTM(16, stateful=True), 1)


@model("stateful_gru", stateful_steps=3)
def stateful_gru(keras: Any) -> Built:
    """Stateful GRU, batch of 2."""
    return _stateful(keras, keras.layers.GRU(12, stateful=True), 2)
