"""Prune twins, of Keras 3 by edgekit and of Keras 2 by tensorflow-model-optimization; run alone.

Prints, for each case, how many masks were compared and which were not equal, as JSON. In every
case the Keras 2 twin is trained, and what it has before each masking is recorded: unmasked weights.
These are set in the Keras 3 twin as if its own training had led there.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras  # noqa: TID253
import numpy as np
import tensorflow as tf  # noqa: TID253
import tensorflow_model_optimization as tfmot
import tf_keras  # noqa: TID253

from edgekit_converters.pruning.callback import pruning_callback
from edgekit_converters.pruning.zeros.holding import Masks
from edgekit_converters.pruning.zeros.schedule import ConstantSparsity, PolynomialDecay

sparse = tfmot.sparsity.keras
STEPS, EPOCHS = 16, 2


def images(k: Any) -> Any:
    layers = k.layers
    return k.Sequential(
        [
            layers.InputLayer((8, 8, 3)),
            layers.Conv2D(8, 3, activation="relu", name="first"),
            layers.BatchNormalization(name="norm"),
            layers.DepthwiseConv2D(3, padding="same", name="depthwise"),
            layers.Conv2D(12, 1, activation="relu", name="point"),
            layers.SeparableConv2D(9, 3, padding="same", activation="relu", name="separable"),
            layers.Conv2D(5, 3, name="last"),
            layers.Flatten(name="flat"),
            layers.Dense(10, activation="softmax", name="classes"),
        ]
    )


def maps(k: Any) -> Any:
    layers = k.layers
    return k.Sequential(
        [
            layers.InputLayer((6, 6, 5)),
            layers.Conv2DTranspose(7, 3, activation="relu", name="up"),
            layers.Conv2D(4, 3, name="down"),
            layers.Flatten(name="flat"),
            layers.Dense(10, activation="softmax", name="classes"),
        ]
    )


def words(k: Any) -> Any:
    layers = k.layers
    return k.Sequential(
        [
            layers.InputLayer((7,)),
            layers.Embedding(20, 6, name="embedding"),
            layers.LSTM(6, return_sequences=True, name="long"),
            layers.GRU(5, name="gated"),
            layers.Dense(10, activation="softmax", name="classes"),
        ]
    )


def rows(k: Any) -> Any:
    layers = k.layers
    return k.Sequential(
        [
            layers.InputLayer((12,)),
            layers.Dense(16, activation="relu", name="wide"),
            layers.Dense(24, activation="relu", name="wider"),
            layers.Dense(12, activation="softmax", name="classes"),
        ]
    )


def growing(module: Any = None) -> Any:
    if module is None:
        return PolynomialDecay(final=0.8, begin_step=2, end_step=29, frequency=3)
    return module.PolynomialDecay(0.0, 0.8, 2, 29, frequency=3)


def constant(module: Any = None) -> Any:
    if module is None:
        return ConstantSparsity(target=0.6, begin_step=3, frequency=5)
    return module.ConstantSparsity(0.6, 3, frequency=5)


Case = tuple[Callable[[Any], Any], Callable[[Any], Any], dict[str, Any], dict[str, Any]]
CASES: dict[str, Case] = {
    "polynomial": (images, growing, {}, {}),
    "constant": (images, constant, {}, {}),
    "transposed": (maps, growing, {}, {}),
    "recurrent": (words, growing, {}, {}),
    "1x4": (rows, growing, {"method": "1x4"}, {"block_size": (1, 4)}),
    "2x2": (
        rows,
        constant,
        {"method": "2x2", "pooling": "max"},
        {"block_size": (2, 2), "block_pooling_type": "MAX"},
    ),
    "2:4": (images, constant, {"method": "2:4"}, {"sparsity_m_by_n": (2, 4)}),
    "1:4": (rows, constant, {"method": "1:4"}, {"sparsity_m_by_n": (3, 4)}),
}


def samples(model: Any) -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    shape = (8 * STEPS, *model.input_shape[1:])
    classes = random.integers(0, 10, shape[0])
    if len(model.layers) and model.layers[0].name == "embedding":
        return random.integers(0, 20, shape), classes
    return random.normal(size=shape).astype(np.float32) + classes.reshape(
        -1, *[1] * (len(shape) - 1)
    ) / 5, classes


def twins(build: Callable[[Any], Any]) -> tuple[Any, Any]:
    """The same model in Keras 3 and Keras 2, with the same weights."""
    keras.utils.set_random_seed(1)
    new, old = build(keras), build(tf_keras)
    old.set_weights([np.array(weight) for weight in new.get_weights()])
    return new, old


def chosen(k: Any, optimizer: str) -> Any:
    if optimizer == "SGD":
        return k.optimizers.SGD(0.05, momentum=0.9)
    return k.optimizers.Adam(0.01)


def recorded(
    old: Any, options: dict[str, Any], optimizer: str = "Adam"
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Unmasked weights and masks after each batch of a training of the Keras 2 twin."""
    pruned = sparse.prune_low_magnitude(old, **options)
    pruned.compile(chosen(tf_keras, optimizer), "sparse_categorical_crossentropy")
    weights: list[dict[str, Any]] = []
    masks: list[dict[str, Any]] = []

    def keep(batch: int, logs: Any = None) -> None:
        for kept, place in ((weights, 0), (masks, 1)):
            kept.append(
                {
                    f"{layer.layer.name}/{number}": variables[place].numpy()
                    for layer in pruned.layers
                    if hasattr(layer, "pruning_vars")
                    for number, variables in enumerate(layer.pruning_vars)
                }
            )

    watch = tf_keras.callbacks.LambdaCallback(on_batch_end=keep)
    x, y = samples(old)
    pruned.fit(
        x, y, 8, EPOCHS, shuffle=False, verbose=0, callbacks=[sparse.UpdatePruningStep(), watch]
    )
    return weights, masks


def held_in_rows(options: dict[str, Any]) -> bool:
    """Whether it is N:M, whose masks both choose once, before the first batch."""
    return ":" in options.get("method", "")


def by_layer(masks: Masks) -> dict[str, Any]:
    """Kernels of `masks` by layer and number in it, as above."""
    found: dict[str, Any] = {}
    for kernel in masks.kernels:
        layer = kernel.path.partition("/")[0]
        found[f"{layer}/{sum(key.startswith(layer + '/') for key in found)}"] = kernel
    return found


def compare(case: Case) -> dict[str, Any]:
    """Masks at equal weights, before every batch."""
    build, schedule, ours, theirs = case
    new, old = twins(build)
    weights, expected = recorded(old, {"pruning_schedule": schedule(sparse), **theirs})
    own = {} if held_in_rows(ours) else {"schedule": schedule(None)}
    held = Masks(**own, **ours)
    held.begin(new, STEPS * EPOCHS)
    names = by_layer(held)
    report: dict[str, Any] = {"layers": sorted(names), "expected": sorted(expected[0])}
    report.update(compared=0, changes=0, unequal=[])
    before = None
    for step, masks in enumerate(expected):
        found = held.masks()
        for name, kernel in names.items():
            report["compared"] += 1
            if not np.array_equal(found[kernel.path], masks[name].astype(bool)):
                report["unequal"].append(f"{name} at step {step + 1}")
            if before is not None:
                report["changes"] += not np.array_equal(before[kernel.path], found[kernel.path])
        before = found
        for name, kernel in names.items():
            kernel.variable.assign(weights[step][name])
        held.after_batch(step + 1)
    report["sparsity"] = held.share
    return report


def train_both() -> dict[str, Any]:
    """A training of each twin by itself, with the same data in the same order."""
    new, old = twins(rows)
    _, expected = recorded(old, {"pruning_schedule": growing(sparse)}, "SGD")
    new.compile(chosen(keras, "SGD"), "sparse_categorical_crossentropy")
    prune = pruning_callback(0.8, begin_step=2, end_step=29, frequency=3)
    found: list[dict[str, Any]] = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs=None: found.append(prune.projection.masks())
    )
    x, y = samples(new)
    new.fit(x, y, 8, EPOCHS, shuffle=False, verbose=0, callbacks=[prune, watch])
    equal = [
        float(np.mean(ours[f"{layer}/kernel"] == theirs[f"{layer}/0"].astype(bool)))
        for ours, theirs in zip(found, expected, strict=True)
        for layer in ("wide", "wider", "classes")
    ]
    return {
        "smallest_agreement": min(equal),
        "compared": len(equal),
        "share": prune.projection.share,
    }


def sparsities() -> float:
    """The largest difference between schedules, over all steps of some."""
    worst = 0.0
    for begin, end, power in ((0, 1000, 3), (2, 40, 3), (10, 37, 3), (5, 3000, 2)):
        ours = PolynomialDecay(
            initial=0.1, final=0.85, begin_step=begin, end_step=end, power=power, frequency=7
        )
        theirs = sparse.PolynomialDecay(0.1, 0.85, begin, end, power, frequency=7)
        for step in (*range(60), *range(60, end + 20, 13)):
            due, sparsity = theirs(tf.constant(step, tf.int64))
            assert bool(due) == ours.due(step), (begin, end, step)
            worst = max(worst, abs(float(sparsity) - ours.sparsity(step)))
    return worst


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(1)
    told: dict[str, Any] = {name: compare(case) for name, case in CASES.items()}
    told["trained"] = train_both()
    told["schedules"] = sparsities()
    json.dump(told, sys.stdout)
