"""Random Keras models for the tests of channel pruning, each from a seed."""

from __future__ import annotations

from typing import Any

import numpy as np

ACTIVATIONS = ("relu", "sigmoid", "tanh", "swish", "hard_sigmoid", "elu", "linear")


class Graphs:
    """Draws layers; `seed` decides everything."""

    def __init__(self, seed: int) -> None:
        import keras

        self.keras, self.layers = keras, keras.layers
        self.random = np.random.default_rng(seed)

    def pick(self, *choices: Any) -> Any:
        return choices[self.random.integers(len(choices))]

    def width(self) -> int:
        return int(2 * self.random.integers(1, 5))

    def activation(self) -> str:
        return str(self.pick(*ACTIVATIONS))

    def model(self) -> Any:
        """A random model with random weights."""
        self.keras.utils.clear_session(free_memory=False)
        kind = self.pick("image", "image", "sequence", "table")
        model = getattr(self, kind)()
        for variable in model.variables:
            if "seed" in variable.name:
                continue
            values = self.random.normal(size=variable.shape, scale=0.4)
            if "variance" in variable.name:
                values = np.abs(values) + 0.5
            variable.assign(values.astype(np.float32))
        return model

    def skip(self, model: Any) -> list[str]:
        """Names, paths and types of some layers of a model; often of none."""
        from edgekit_converters.pruning.skipped_names import layers_within

        names = [name for placed in layers_within(model) for name in placed.names]
        count = self.pick(0, 0, 1, 2)
        return [str(name) for name in self.random.choice(names, count, replace=False)]

    def samples(self, model: Any, count: int = 3) -> list[Any]:
        """Random inputs for a model, integers where it looks them up."""
        return [
            self.random.integers(0, 5, (count, *each.shape[1:])).astype(np.float32)
            if "words" in each.name
            else self.random.normal(size=(count, *each.shape[1:])).astype(np.float32)
            for each in model.inputs
        ]

    # ---- tables ---------------------------------------------------------------------------------
    def table(self) -> Any:
        layers = self.layers
        given = [self.keras.Input((self.width(),)) for _ in range(self.pick(1, 2))]
        ends = [self.dense_block(each) for each in given]
        for _ in range(self.random.integers(1, 4)):
            ends.append(self.dense_block(self.pick(*ends)))
        ends = [self.layers.Concatenate()(ends) if len(ends) > 1 else ends[0]]
        units = ends[0].shape[-1]
        shared = layers.Dense(units, self.activation())
        ends.append(shared(shared(ends[0])))
        x = self.pick(layers.Add, layers.Multiply, layers.Maximum)()(ends)
        x = self.pick(lambda x: x, self.keras.ops.relu, lambda x: x + ends[0], lambda x: x * 2.0)(x)
        outputs = [layers.Dense(3)(x), *self.pick([], [layers.Dense(2)(ends[0])], [x])]
        return self.keras.Model(given if len(given) > 1 else given[0], outputs)

    def dense_block(self, x: Any) -> Any:
        x = self.layers.Dense(self.width(), self.activation())(x)
        return self.pick(lambda x: x, self.layers.BatchNormalization(), self.nested)(x)

    def nested(self, x: Any) -> Any:
        inner = self.keras.Input(x.shape[1:])
        units = self.pick(self.width(), x.shape[-1])
        y = self.layers.Dense(units, self.activation())(inner)
        y = self.layers.Dense(self.width(), name="shared_name")(y)
        sequential = self.keras.Sequential([self.layers.Dense(4), self.layers.ReLU()])
        model = self.keras.Model(inner, self.pick(y, sequential(y)))
        return model(self.pick(x, self.layers.Dense(x.shape[-1])(x)))

    # ---- images ---------------------------------------------------------------------------------
    def image(self) -> Any:
        given = self.keras.Input((*self.pick((6, 6), (8, 5)), self.pick(1, 3, 4)))
        x = given
        for _ in range(self.random.integers(2, 7)):
            step = self.pick(
                self.convolution, self.convolution, self.depthwise, self.separable, self.transposed,
                self.normalized, self.residual, self.inverted_residual, self.squeezed, self.joined,
                self.shared, self.resized, self.moved, self.nested_image, self.shuffled, self.timed,
                self.counted_twice,
            )  # fmt: skip
            x = step(x)
        pooled = self.pick(
            self.layers.Flatten(data_format=self.pick("channels_first", "channels_last")),
            lambda x: self.layers.Flatten(data_format="channels_first")(self.moved_front(x)),
            self.layers.GlobalAveragePooling2D(),
            self.layers.GlobalMaxPooling2D(),
            lambda x: self.keras.ops.mean(x, axis=(1, 2)),
            lambda x: self.layers.Reshape((x.shape[1] * x.shape[2], x.shape[3]))(x),
        )(x)
        y = self.layers.Dense(4, "relu")(pooled)
        outputs = [self.layers.Dense(3)(y)]
        if self.pick(True, False):
            outputs.append(self.layers.Conv2D(2, 1)(x))
        return self.keras.Model(given, outputs)

    def convolution(self, x: Any) -> Any:
        groups = 2 if x.shape[-1] % 2 == 0 and self.pick(0, 0, 1) else 1
        strides = self.pick(1, 1, 2) if x.shape[1] > 3 and x.shape[2] > 3 else 1
        layer = self.layers.Conv2D(
            self.width(), self.pick(1, 3), strides, "same", groups=groups,
            activation=self.activation(), use_bias=self.pick(True, False),
        )  # fmt: skip
        return layer(x)

    def depthwise(self, x: Any) -> Any:
        return self.layers.DepthwiseConv2D(3, padding="same", depth_multiplier=self.pick(1, 2))(x)

    def separable(self, x: Any) -> Any:
        multiplier = self.pick(1, 2)
        return self.layers.SeparableConv2D(
            self.width(), 3, padding="same", depth_multiplier=multiplier
        )(x)

    def transposed(self, x: Any) -> Any:
        strides = self.pick(1, 2) if x.shape[1] < 5 else 1
        return self.layers.Conv2DTranspose(self.width(), 3, strides, "same")(x)

    def normalized(self, x: Any) -> Any:
        x = self.layers.BatchNormalization(center=self.pick(True, False))(x)
        slopes = self.layers.PReLU(shared_axes=self.pick(None, (1, 2)))
        return self.pick(
            self.layers.ReLU(6.0), slopes, self.layers.LeakyReLU(), self.layers.Dropout(0.5)
        )(x)

    def residual(self, x: Any) -> Any:
        y = self.layers.Conv2D(self.width(), 3, padding="same", activation="relu")(x)
        y = self.layers.Conv2D(x.shape[-1], 1)(y)
        merge = self.pick("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
        return getattr(self.layers, merge)()([x, y])

    def inverted_residual(self, x: Any) -> Any:
        y = self.layers.Conv2D(2 * x.shape[-1], 1)(x)
        y = self.layers.BatchNormalization()(y)
        y = self.layers.DepthwiseConv2D(3, padding="same", activation="relu6")(y)
        y = self.layers.Conv2D(x.shape[-1], 1, use_bias=False)(y)
        return self.pick(lambda: x + y, lambda: self.layers.Add()([y, x]))()

    def squeezed(self, x: Any) -> Any:
        size = x.shape[-1]
        y = self.layers.GlobalAveragePooling2D(keepdims=self.pick(True, False))(x)
        y = self.layers.Reshape((1, 1, size))(y) if len(y.shape) == 2 else y
        dense = self.pick(self.layers.Dense, lambda units: self.layers.Conv2D(units, 1))
        y = dense(size)(self.layers.ReLU()(dense(4)(y)))
        return self.layers.Multiply()([x, self.layers.Activation("sigmoid")(y)])

    def joined(self, x: Any) -> Any:
        parts = [x, self.convolution_same(x), self.depthwise(x)]
        return self.layers.Concatenate(axis=self.pick(-1, -1, 3))(parts[: self.pick(2, 3)])

    def convolution_same(self, x: Any) -> Any:
        return self.layers.Conv2D(self.width(), 3, padding="same", activation="relu")(x)

    def shared(self, x: Any) -> Any:
        layer = self.layers.Conv2D(x.shape[-1], 3, padding="same", activation="tanh")
        norm = self.layers.BatchNormalization()
        return self.layers.Add()([norm(layer(x)), norm(layer(layer(x)))])

    def resized(self, x: Any) -> Any:
        layers = self.layers
        if x.shape[1] >= 4 and x.shape[2] >= 4:
            x = self.pick(layers.MaxPooling2D(), layers.AveragePooling2D(2), layers.Cropping2D(1))(
                x
            )
        return self.pick(
            layers.UpSampling2D(), layers.ZeroPadding2D(1), layers.SpatialDropout2D(0.1)
        )(x)

    def moved(self, x: Any) -> Any:
        y = self.layers.Permute((3, 1, 2))(x)
        y = self.layers.Dense(y.shape[-1], "relu")(y)
        return self.layers.Permute((2, 3, 1))(y)

    def moved_front(self, x: Any) -> Any:
        return self.layers.Permute((3, 1, 2))(x)

    def counted_twice(self, x: Any) -> Any:
        """One layer whose config counts channels, called for two tensors."""
        units = self.width()
        first, second = (self.layers.Conv2D(units, side, padding="same")(x) for side in (1, 3))
        second = self.pick(second, self.layers.Dense(units)(x))
        shape = (*x.shape[1:-1], *self.pick((1, units), (units, 1), (2, units // 2)))
        layer = self.pick(
            self.layers.Reshape(shape), self.layers.GroupNormalization(units, center=False)
        )
        ends = [self.layers.Reshape((*x.shape[1:-1], units))(layer(y)) for y in (first, second)]
        return self.pick(self.layers.Add(), self.layers.Concatenate())(ends)

    def nested_image(self, x: Any) -> Any:
        given = self.keras.Input((None, None, x.shape[-1]))
        y = self.layers.Conv2D(self.width(), 3, padding="same", activation="relu")(given)
        inner = self.keras.Model(given, self.layers.Conv2D(x.shape[-1], 1)(y))
        return self.pick(lambda: inner(x), lambda: inner(inner(x)))()

    def shuffled(self, x: Any) -> Any:
        height, width, size = x.shape[1:]
        if size % 2:
            return x
        y = self.layers.Reshape((height, width, 2, size // 2))(x)
        y = self.layers.Permute((1, 2, 4, 3))(y)
        return self.layers.Reshape((height, width, size))(y)

    def timed(self, x: Any) -> Any:
        inner = self.pick(
            self.layers.Dense(self.width()), self.layers.Conv1D(self.width(), 2, padding="same")
        )
        return self.layers.TimeDistributed(inner)(x)

    # ---- sequences ------------------------------------------------------------------------------
    def sequence(self) -> Any:
        layers = self.layers
        if self.pick(True, False):
            given = self.keras.Input((5,), name="words")
            x = layers.Embedding(6, self.width())(given)
        else:
            given = self.keras.Input((5, 3))
            x = given
        for _ in range(self.random.integers(1, 5)):
            x = self.pick(
                self.recurrent, self.recurrent, self.bidirectional, self.attended, self.windowed,
                self.einsum, self.self_attended, self.mixed, self.cross_attended,
                self.passed_through, self.nested_sequence,
            )(x)  # fmt: skip
        x = self.pick(
            layers.Flatten(), layers.GlobalAveragePooling1D(), layers.GRU(4), lambda x: x[:, -1]
        )(x)
        return self.keras.Model(given, layers.Dense(2)(x))

    def recurrent(self, x: Any) -> Any:
        layers, units = self.layers, self.width()
        return self.pick(
            lambda: layers.LSTM(units, return_sequences=True, use_bias=self.pick(True, False))(x),
            lambda: layers.GRU(units, return_sequences=True, reset_after=self.pick(True, False))(x),
            lambda: layers.SimpleRNN(units, return_sequences=True)(x),
            lambda: self.encoded(x, units),
        )()

    def encoded(self, x: Any, units: int) -> Any:
        _, hidden, cell = self.layers.LSTM(units, return_state=True)(x)
        made = self.layers.LSTM(units, return_sequences=True)
        return made(x, initial_state=[hidden, cell])

    def bidirectional(self, x: Any) -> Any:
        layer = self.pick(self.layers.LSTM, self.layers.GRU)(self.width(), return_sequences=True)
        return self.layers.Bidirectional(
            layer, merge_mode=self.pick("concat", "sum", "ave", "mul")
        )(x)

    def self_attended(self, x: Any) -> Any:
        layer = self.layers.MultiHeadAttention(
            self.pick(2, 4), 3, value_dim=self.pick(None, 2), output_shape=self.pick(None, 6)
        )
        y = layer(x, x)
        return self.layers.Add()([x, y]) if y.shape[-1] == x.shape[-1] else y

    def cross_attended(self, x: Any) -> Any:
        """One layer that is called once or twice for tensors of one shape or of three."""
        size = self.width()
        query, value = self.layers.Dense(size)(x), self.layers.Dense(size)(x)
        key = self.pick(None, value, self.layers.Dense(size)(x))
        layer = self.layers.MultiHeadAttention(self.pick(2, 4), 3)
        y = layer(query, value, key=key)
        return self.pick(y, layer(y, value, key=key))

    def nested_sequence(self, x: Any) -> Any:
        inner = self.keras.Sequential(
            [
                self.layers.TimeDistributed(self.layers.Dense(self.width(), "relu")),
                self.layers.Bidirectional(self.layers.GRU(self.width(), return_sequences=True)),
            ]
        )
        return inner(self.layers.Dense(4)(x))

    def attended(self, x: Any) -> Any:
        query, value = self.layers.Dense(4)(x), self.layers.Dense(self.width())(x)
        key = self.layers.Dense(4)(x)
        layer = self.pick(
            self.layers.Attention(use_scale=self.pick(True, False)), self.layers.AdditiveAttention()
        )
        return layer([query, value, key])

    def windowed(self, x: Any) -> Any:
        layers, filters = self.layers, self.width()
        y = self.pick(
            layers.Conv1D(filters, 3, padding="causal"),
            layers.SeparableConv1D(filters, 3, padding="same"),
            layers.Conv1DTranspose(filters, 3, padding="same"),
            layers.DepthwiseConv1D(3, padding="same", depth_multiplier=2),
        )(x)
        return self.pick(layers.ReLU(), layers.BatchNormalization(), layers.MaxPooling1D(1))(y)

    def einsum(self, x: Any) -> Any:
        units = self.width()
        y = self.layers.EinsumDense("abc,cde->abde", (x.shape[1], 2, units), bias_axes="de")(x)
        y = self.layers.EinsumDense("abde,def->abf", (x.shape[1], self.width()), bias_axes="f")(y)
        return self.layers.EinsumDense("...x,xy->...y", self.width())(y)

    def passed_through(self, x: Any) -> Any:
        """Letters of Einstein sums that a kernel does not have, and channels run along."""
        y = self.layers.Permute((2, 1))(self.layers.Dense(self.width(), "relu")(x))
        equation = self.pick("abc,cd->abd", "abc,bcd->abd", "abc,cd->adb")
        units = self.width()
        sizes = (units, y.shape[1]) if equation.endswith("adb") else (y.shape[1], units)
        y = self.layers.EinsumDense(equation, sizes, bias_axes=self.pick(None, "d"))(y)
        return self.layers.Permute((2, 1))(y)

    def mixed(self, x: Any) -> Any:
        y = self.layers.Permute((2, 1))(x)
        y = self.layers.Dense(x.shape[1])(self.layers.Dense(self.width(), "relu")(y))
        return self.layers.Add()([x, self.layers.Permute((2, 1))(y)])
