"""Make a model with random weights behave like a trained one, in a second or two."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scripts.corpus.registry import Array, Built, first

_RIDGE = 1e-1
_LOGIT = 4.0
_BATCH = 64


def classifier(
    keras: Any,
    model: Any,
    samples: dict[str, Array],
    labels: Array,
    *,
    head: Any = None,
) -> Built:
    """Settle the normalisations, then fit the last Dense layer to the classes."""
    settle(model, samples)
    fit_head(keras, model, samples, labels, head=head)
    return Built(model=model, samples=first(samples))


def regressor(keras: Any, model: Any, samples: dict[str, Array], targets: Array) -> Built:
    """Settle the normalisations, then fit the last Dense layer to real targets."""
    settle(model, samples)
    fit_head(keras, model, samples, targets.astype(np.float64))
    return Built(model=model, samples=first(samples))


def settle(model: Any, samples: dict[str, Array], *, passes: int = 3) -> None:
    """Give every BatchNormalization the mean and variance of its real inputs."""
    found = [layer for layer in _layers(model) if type(layer).__name__ == "BatchNormalization"]
    if not found:
        return
    momenta = [layer.momentum for layer in found]
    for layer in found:
        layer.momentum = 0.5
    count = len(next(iter(samples.values())))
    for index in range(passes):
        for layer in found:
            layer.momentum = 0.5 if index else 0.0  # forget the initial zeros and ones at once
        start = index * _BATCH % max(1, count - _BATCH + 1)
        call(model, {name: each[start : start + _BATCH] for name, each in samples.items()}, True)
    for layer, momentum in zip(found, momenta, strict=True):
        layer.momentum = momentum


def calm(network: Any) -> None:
    """Shift every BatchNormalization so that most of what follows it stays linear.

    A deep network with random weights is chaotic: weights rounded to 8 bits change its features by
    60 %, which no trained network shows. With the offsets at 1 it is 10 %.
    """
    for layer in _layers(network):
        if type(layer).__name__ == "BatchNormalization" and layer.beta is not None:
            layer.beta.assign(np.ones(layer.beta.shape, np.float32))


def fit_head(
    keras: Any, model: Any, samples: dict[str, Array], targets: Array, *, head: Any = None
) -> None:
    """Fit a Dense layer (default: the last) by ridge regression.

    Integer `targets` are classes and become logits; real ones are regressed on as they are.
    A target for each sample is repeated along the axes the features have besides.
    """
    head = head or model.layers[-1]
    features = forward(keras.Model(model.inputs, head.input), samples)
    features = features.astype(np.float64)
    kernel, *rest = head.get_weights()
    if np.issubdtype(targets.dtype, np.integer):
        width = kernel.shape[-1]
        wanted = (
            np.where(targets > 0, _LOGIT, -_LOGIT)[..., None]
            if width == 1
            else (_LOGIT + 1) * np.eye(width)[targets % width] - 1
        )
    else:
        wanted = targets if targets.ndim > 1 else targets[:, None]
        wanted = np.broadcast_to(wanted, (*wanted.shape[:-1], kernel.shape[-1]))
    while wanted.ndim < features.ndim:
        wanted = np.expand_dims(wanted, 1)
    wanted = np.broadcast_to(wanted, (*features.shape[:-1], wanted.shape[-1]))
    flat, goal = features.reshape(-1, features.shape[-1]), wanted.reshape(-1, wanted.shape[-1])
    centre, level = flat.mean(0), goal.mean(0)
    spread = flat - centre
    scale = _RIDGE * np.mean(spread**2) * len(spread) + 1e-9
    fitted = np.linalg.solve(
        spread.T @ spread + scale * np.eye(spread.shape[1]), spread.T @ (goal - level)
    )
    head.set_weights(
        [fitted.astype(np.float32), *([(level - centre @ fitted).astype(np.float32)] * len(rest))]
    )


def train(
    keras: Any,
    model: Any,
    samples: dict[str, Array],
    targets: Any,
    *,
    epochs: int = 3,
    loss: Any = "mse",
    learning_rate: float = 3e-3,
) -> Built:
    """Train for a few epochs; for models whose output is no Dense layer."""
    model.compile(optimizer=keras.optimizers.Adam(learning_rate), loss=loss)
    inputs: Any = samples if len(samples) > 1 else next(iter(samples.values()))
    model.fit(inputs, targets, epochs=epochs, batch_size=32, shuffle=False, verbose=0)
    settle(model, samples)
    return Built(model=model, samples=first(samples))


def forward(model: Any, samples: dict[str, Array]) -> Array:
    """The single output of `model` on `samples`, in batches."""
    count = len(next(iter(samples.values())))
    parts = [
        np.asarray(call(model, {n: each[i : i + _BATCH] for n, each in samples.items()}, False))
        for i in range(0, count, _BATCH)
    ]
    return np.concatenate(parts)


def call(model: Any, samples: dict[str, Array], training: bool) -> Any:
    """Call `model` on a batch: with an array when it has one input, else with a dict by name."""
    inputs: Any = samples if len(samples) > 1 else next(iter(samples.values()))
    return model(inputs, training=training)


def _layers(model: Any) -> Iterator[Any]:
    for layer in getattr(model, "layers", ()):
        yield layer
        yield from _layers(layer)
        if hasattr(layer, "layer"):
            yield layer.layer
            yield from _layers(layer.layer)
