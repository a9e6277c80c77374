"""What a Keras configuration says: inputs, outputs, layers, custom classes, marshalled code.

The configuration is untrusted JSON; it is looked at, never handed to Keras.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edgekit.tensors import TensorSpec

_KERAS_MODULES = ("keras", "tf_keras", "tensorflow.keras", "tensorflow.python.keras")
_LONGEST_SHAPE = 64
_SAME_SHAPE_NAMES = """
Activation ActivityRegularization AlphaDropout BatchNormalization Dropout ELU GaussianDropout
GaussianNoise GroupNormalization Identity LayerNormalization LeakyReLU Masking Normalization PReLU
ReLU Rescaling RMSNormalization Softmax SpatialDropout1D SpatialDropout2D SpatialDropout3D
ThresholdedReLU UnitNormalization
"""
_SAME_SHAPE = frozenset(_SAME_SHAPE_NAMES.split())
_BUILT_IN_NAMES = """
AbstractRNNCell Activation ActivityRegularization AdaptiveAveragePooling1D
AdaptiveAveragePooling2D AdaptiveAveragePooling3D AdaptiveMaxPooling1D AdaptiveMaxPooling2D
AdaptiveMaxPooling3D Add AdditiveAttention AlphaDropout Attention AugMix AutoContrast Average
AveragePooling1D AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D
BatchNormalization BatchNormalizationV1 BatchNormalizationV2 Bidirectional CategoryEncoding
CenterCrop ClassMethod Concatenate ContrastLimitedAdaptiveHistogramEqualization Conv1D
Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D
Convolution1D Convolution1DTranspose Convolution2D Convolution2DTranspose Convolution3D
Convolution3DTranspose Cropping1D Cropping2D Cropping3D CuDNNGRU CuDNNLSTM CutMix Dense
DenseFeatures DepthwiseConv1D DepthwiseConv2D Discretization Dot Dropout ELU EinsumDense Embedding
Equalization Flatten FlaxLayer Functional GRU GRUCell GaussianDropout GaussianNoise
GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalAvgPool1D
GlobalAvgPool2D GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D GlobalMaxPool3D GlobalMaxPooling1D
GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization GroupQueryAttention HashedCrossing
Hashing Identity Input InputLayer InputSpec InstanceMethod InstanceProperty IntegerLookup JaxLayer
LSTM LSTMCell Lambda Layer LayerNormalization LeakyReLU LocallyConnected1D LocallyConnected2D
Masking MaxNumBoundingBoxes MaxPool1D MaxPool2D MaxPool3D MaxPooling1D MaxPooling2D MaxPooling3D
Maximum MelSpectrogram Minimum MixUp Model ModuleWrapper MultiHeadAttention Multiply Normalization
PReLU Permute Pipeline RMSNormalization RNN RandAugment RandomBrightness RandomColorDegeneration
RandomColorJitter RandomContrast RandomCrop RandomElasticTransform RandomErasing RandomFlip
RandomGaussianBlur RandomGrayscale RandomHeight RandomHue RandomInvert RandomPerspective
RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear RandomTranslation
RandomWidth RandomZoom ReLU RepeatVector Rescaling Reshape Resizing ReversibleEmbedding
STFTSpectrogram SeparableConv1D SeparableConv2D SeparableConvolution1D SeparableConvolution2D
Sequential SimpleRNN SimpleRNNCell SlicingOpLambda Softmax Solarization SpatialDropout1D
SpatialDropout2D SpatialDropout3D SpectralNormalization StackedRNNCells StringLookup Subtract
SyncBatchNormalization TFOpLambda TFSMLayer TensorFlowOpLayer TextVectorization ThresholdedReLU
TimeDistributed TorchModuleWrapper UnitNormalization UpSampling1D UpSampling2D UpSampling3D
Wrapper ZeroPadding1D ZeroPadding2D ZeroPadding3D
"""
_BUILT_IN = frozenset(_BUILT_IN_NAMES.split())
"""Layer classes of Keras 2 and 3; .h5 files tell a class's name, not the module it is from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFacts:
    """What a model's configuration tells without building the model."""

    class_name: str | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    layer_counts: dict[str, int]
    lambda_layers: tuple[str, ...]
    custom_classes: tuple[str, ...]


def read_config(config: Any) -> ConfigFacts:
    """Look through one deserialized ``model_config`` (or ``config.json``).

    `inputs` and `outputs` are empty where the configuration does not tell them: subclassed models,
    and outputs of layers whose output shape only Keras can work out.
    """
    top = _mapping(config)
    body = _mapping(top.get("config"))
    name = top.get("class_name")
    objects = list(_objects({key: top[key] for key in top if key != "compile_config"}))
    layers = _layers(body)
    if isinstance(top.get("config"), list):  # Sequential, as Keras 1 wrote it
        layers = _layers({"layers": top["config"]})
    inputs = _inputs(body, layers, top)
    return ConfigFacts(
        class_name=name if isinstance(name, str) else None,
        inputs=inputs,
        outputs=_outputs(body, layers, objects) if inputs else (),
        layer_counts=dict(
            Counter(_shown_name(layer) for layer in _all_layers(layers)).most_common()
        ),
        lambda_layers=tuple(dict.fromkeys(_lambdas(objects))),
        custom_classes=tuple(sorted({name for item in objects if (name := _custom_name(item))})),
    )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(root: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object within, parents first, without recursion: depth is the file's choice."""
    pending = [root]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            yield value
            pending.extend(reversed(value.values()))
        elif isinstance(value, list):
            pending.extend(reversed(value))


def _layers(body: dict[str, Any]) -> list[dict[str, Any]]:
    layers = body.get("layers")
    return [_mapping(layer) for layer in layers] if isinstance(layers, list) else []


def _all_layers(layers: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Layers within layers too, but neither the containers themselves nor the input layers."""
    pending = list(reversed(layers))
    while pending:
        layer = pending.pop()
        inside = _layers(_mapping(layer.get("config")))
        if inside:
            pending.extend(reversed(inside))
        elif layer.get("class_name") != "InputLayer":
            yield layer


def _shown_name(layer: dict[str, Any]) -> str:
    """The class of a layer; of a wrapper also the class it wraps: ``Bidirectional(LSTM)``."""
    name = str(layer.get("class_name"))
    wrapped = _mapping(_mapping(layer.get("config")).get("layer")).get("class_name")
    return f"{name}({wrapped})" if isinstance(wrapped, str) else name


def _custom_name(item: dict[str, Any]) -> str | None:
    """The name under which Keras must be given this class or function; None for its own."""
    name, registered = item.get("class_name"), item.get("registered_name")
    if not isinstance(name, str) or "config" not in item or name.startswith("__"):
        return None
    if "registered_name" in item:  # the format of Keras 3 and of late Keras 2
        module = item.get("module")
        if name == "function":
            function = item["config"]
            return function if isinstance(function, str) and module in {None, "builtins"} else None
        if isinstance(module, str) and module.split(".", 1)[0] not in {"builtins", "__main__"}:
            own = any(module == keras or module.startswith(keras + ".") for keras in _KERAS_MODULES)
            return None if own else f"{module}.{name}"
        return registered if isinstance(registered, str) else name
    if ">" in name:
        return name
    # Only layers say whether they are trainable; initializers and the like do not.
    is_layer = "trainable" in _mapping(item["config"])
    return name if is_layer and name not in _BUILT_IN else None


def _lambdas(objects: list[dict[str, Any]]) -> Iterator[str]:
    """Names of what holds marshalled Python code: Lambda layers, and lambdas given as arguments."""
    inside_layers: set[int] = set()
    for item in objects:
        config = _mapping(item.get("config"))
        function = config.get("function")
        if item.get("class_name") == "Lambda":
            marshalled = (
                config.get("function_type") == "lambda"
                or isinstance(function, list)
                or _mapping(function).get("class_name") == "__lambda__"
            )
            inside_layers.add(id(function))
            if marshalled:
                yield str(config.get("name", "lambda"))
        elif item.get("class_name") == "__lambda__" and id(item) not in inside_layers:
            yield "a lambda function"


def _dtype(value: Any) -> str:
    if isinstance(value, dict):  # a dtype policy
        value = _mapping(value.get("config")).get("name")
    return value if isinstance(value, str) else "float32"


def _shape(value: Any) -> tuple[int | None, ...] | None:
    if not isinstance(value, list) or len(value) > _LONGEST_SHAPE:
        return None
    if not all(size is None or (type(size) is int and size >= 0) for size in value):
        return None
    return tuple(value)


def _input_layer(layer: dict[str, Any]) -> TensorSpec | None:
    config = _mapping(layer.get("config"))
    shape = _shape(config.get("batch_shape", config.get("batch_input_shape")))
    if shape is None:
        return None
    name = layer.get("name", config.get("name"))
    return TensorSpec(name=str(name), shape=shape, dtype=_dtype(config.get("dtype")))


def _named(nested: Any) -> list[tuple[str, int, int]]:
    """``["a", 0, 0]`` triples out of any nesting of lists and dicts, in order."""
    found: list[tuple[str, int, int]] = []
    pending = [nested]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending.extend(reversed(value.values()))
        elif isinstance(value, list):
            match value:
                case [str() as name, int() as node, int() as tensor]:
                    found.append((name, node, tensor))
                case _:
                    pending.extend(reversed(value))
    return found


def _inputs(
    body: dict[str, Any], layers: list[dict[str, Any]], top: dict[str, Any]
) -> tuple[TensorSpec, ...]:
    if "input_layers" in body:
        by_name = {str(layer.get("name")): layer for layer in layers}
        found = [_input_layer(by_name.get(name, {})) for name, _, _ in _named(body["input_layers"])]
        known = tuple(spec for spec in found if spec)
        return known if len(known) == len(found) else ()
    if not layers:
        return ()
    first = _input_layer(layers[0])
    if first:
        return (first,)
    built = _mapping(top.get("build_config")).get("input_shape", body.get("build_input_shape"))
    shape = _shape(built)
    if shape is None:
        return ()
    return (TensorSpec(name="input", shape=shape, dtype=_dtype(None)),)


def _outputs(
    body: dict[str, Any], layers: list[dict[str, Any]], objects: list[dict[str, Any]]
) -> tuple[TensorSpec, ...]:
    """Output shapes as far as a configuration tells them; all of them, or none."""
    if "output_layers" not in body:
        shape = _output_shape(layers[-1])
        name = str(_mapping(layers[-1].get("config")).get("name"))
        dtype = _dtype(_mapping(layers[-1].get("config")).get("dtype"))
        return (TensorSpec(name=name, shape=shape, dtype=dtype),) if shape is not None else ()
    seen: dict[tuple[str, int, int], tuple[tuple[int | None, ...] | None, str]] = {}
    for item in objects:
        if item.get("class_name") == "__keras_tensor__":
            config = _mapping(item.get("config"))
            match config.get("keras_history"):
                case [str() as name, int() as node, int() as tensor]:
                    tensor_shape = _shape(config.get("shape"))
                    seen[name, node, tensor] = (tensor_shape, _dtype(config.get("dtype")))
    by_name = {str(layer.get("name")): layer for layer in layers}
    found: list[TensorSpec] = []
    for key in _named(body["output_layers"]):
        layer = by_name.get(key[0], {})
        shape, dtype = seen.get(key, (None, _dtype(_mapping(layer.get("config")).get("dtype"))))
        shape = shape if shape is not None else _output_shape(layer)
        if shape is None:
            return ()
        found.append(TensorSpec(name=key[0], shape=shape, dtype=dtype))
    return tuple(found)


def _output_shape(layer: dict[str, Any]) -> tuple[int | None, ...] | None:
    """What comes out of the kinds of layer that most models end with."""
    name, config = str(layer.get("class_name")), _mapping(layer.get("config"))
    taken = _shape(_mapping(layer.get("build_config")).get("input_shape"))
    if name == "InputLayer":
        spec = _input_layer(layer)
        return spec.shape if spec else None
    if not taken:
        return None
    units = config.get("units")
    if name == "Dense" and isinstance(units, int):
        return (*taken[:-1], units)
    if name in _SAME_SHAPE:
        return taken
    if name in {"Flatten", "Reshape"}:
        target = _shape(config.get("target_shape"))
        if name == "Reshape":
            return (taken[0], *target) if target is not None else None
        size: int | None = 1
        for length in taken[1:]:
            size = None if size is None or length is None else size * length
        return (taken[0], size)
    return None
