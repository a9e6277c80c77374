"""Custom layers and models for Keras 3; what ``--custom-objects`` is given."""

from __future__ import annotations

from typing import Any

import keras


class ScaledDense(keras.layers.Layer):  # type: ignore[misc]
    """A dense layer whose outputs have learned scales."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = units

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the kernel and the scales."""
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.units), initializer="glorot_uniform", name="kernel"
        )
        self.scales = self.add_weight(shape=(self.units,), initializer="ones", name="scales")

    def call(self, inputs: Any) -> Any:
        """Multiply, scale, and fold through a softplus."""
        return keras.ops.softplus(keras.ops.matmul(inputs, self.kernel) * self.scales)

    def get_config(self) -> dict[str, Any]:
        """Arguments to build it again."""
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="corpus")
class Residual(keras.layers.Layer):  # type: ignore[misc]
    """Two dense layers around a skip connection, registered under a package name."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = units
        self.inner = keras.layers.Dense(units, activation="swish")
        self.outer = keras.layers.Dense(units)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build the two layers inside."""
        self.inner.build(input_shape)
        self.outer.build((*input_shape[:-1], self.units))

    def call(self, inputs: Any) -> Any:
        """Add what the two layers make of the inputs."""
        return inputs + self.outer(self.inner(inputs))

    def get_config(self) -> dict[str, Any]:
        """Arguments to build it again."""
        return {**super().get_config(), "units": self.units}


class Classifier(keras.Model):  # type: ignore[misc]
    """A subclassed model: convolution, BatchNormalization, and a Python loop over blocks."""

    def __init__(self, blocks: int = 2, **options: Any) -> None:
        super().__init__(**options)
        k = keras.layers
        self.blocks = blocks
        self.stem = k.Conv2D(12, 3, strides=2, padding="same", activation="relu")
        self.convolutions = [k.Conv2D(12, 3, padding="same", use_bias=False) for _ in range(blocks)]
        self.normalizations = [k.BatchNormalization() for _ in range(blocks)]
        self.pool = k.GlobalAveragePooling2D()
        self.middle = k.Dense(24, activation="tanh")
        self.scores = k.Dense(10)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Scores for a batch of images."""
        x = self.stem(inputs)
        for convolution, normalization in zip(self.convolutions, self.normalizations, strict=True):
            x = x + keras.ops.relu(normalization(convolution(x), training=training))
        return self.scores(self.middle(self.pool(x)))

    def get_config(self) -> dict[str, Any]:
        """Arguments to build it again."""
        return {**super().get_config(), "blocks": self.blocks}


class TwoTower(keras.Model):  # type: ignore[misc]
    """A subclassed model that takes a dict and gives a dict."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        k = keras.layers
        self.left = k.Dense(16, activation="relu")
        self.right = k.Dense(16, activation="relu")
        self.total = k.Dense(1)
        self.gap = k.Dense(4)

    def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """A total and a gap from a user's and an item's row."""
        left, right = self.left(inputs["user"]), self.right(inputs["item"])
        return {"total": self.total(left + right), "gap": self.gap(left - right)}
