"""What the compression of Keras 2 models is made of: models without models inside."""

import importlib
from typing import Any

import numpy as np
import pytest

from edgekit_converters.pruning.keras2.flat import flattened
from edgekit_converters.pruning.keras2.quantize import check_quantized
from edgekit_converters.pruning.keras2.settings import Keras2Settings
from edgekit_converters.tensorflow_setup import tensorflow


@pytest.mark.slow
def test_nested_models_are_put_in_place_to_be_quantized() -> None:
    tensorflow()
    pytest.importorskip("tensorflow_model_optimization", reason="tfmot is not installed")
    keras: Any = importlib.import_module("tf_keras")
    layers = keras.layers
    body = keras.Sequential(
        [layers.Input((8, 8, 1)), layers.Conv2D(4, 3, name="conv"), layers.BatchNormalization()],
        name="body",
    )
    image = layers.Input((8, 8, 1))
    made = keras.Model(image, layers.Dense(2, name="scores")(layers.Flatten()(body(image))))
    flat = flattened(made)
    assert "conv" in [layer.name for layer in flat.layers]
    inputs = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype(np.float32)
    np.testing.assert_array_equal(made.predict(inputs, verbose=0), flat.predict(inputs, verbose=0))
    check_quantized(made, Keras2Settings(quantize=True))
