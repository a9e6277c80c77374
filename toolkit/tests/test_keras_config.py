import copy
import json
import random
from typing import Any

import pytest

from edgekit.keras_config import read_config
from edgekit.tensors import TensorSpec


def layer(kind: str, module: str | None = "keras.layers", **config: Any) -> dict[str, Any]:
    """One layer as Keras 3 writes it into config.json."""
    made = {"module": module, "class_name": kind, "config": config, "registered_name": None}
    return made | {"name": config.get("name")}


def given(name: str, *shape: int | None, dtype: str = "float32") -> dict[str, Any]:
    return layer("InputLayer", name=name, batch_shape=list(shape), dtype=dtype)


def sequential(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"module": "keras", "class_name": "Sequential", "config": {"layers": list(layers)}}


def tensor(name: str, *shape: int | None, dtype: str = "float32") -> dict[str, Any]:
    config = {"shape": list(shape), "dtype": dtype, "keras_history": [name, 0, 0]}
    return {"class_name": "__keras_tensor__", "config": config}


DENSE = layer("Dense", name="dense", units=5, dtype="float32", trainable=True) | {
    "build_config": {"input_shape": [None, 7]}
}
FUNCTIONAL = {
    "module": "keras",
    "class_name": "Functional",
    "config": {
        "layers": [
            given("a", None, 7),
            given("ids", 2, 9, dtype="int32"),
            DENSE | {"inbound_nodes": [{"args": [tensor("a", None, 7)]}]},
            layer("Mystery2D", name="end") | {"inbound_nodes": [{"args": [tensor("dense", 1, 5)]}]},
        ],
        "input_layers": {"first": ["a", 0, 0], "second": ["ids", 0, 0]},
        "output_layers": [["dense", 0, 0]],
    },
}


def test_a_sequential_model_tells_its_interface_and_layers() -> None:
    facts = read_config(sequential(given("image", None, 7), DENSE, DENSE))
    assert facts.class_name == "Sequential"
    assert facts.inputs == (TensorSpec(name="image", shape=(None, 7), dtype="float32"),)
    assert facts.outputs == (TensorSpec(name="dense", shape=(None, 5), dtype="float32"),)
    assert facts.layer_counts == {"Dense": 2}


def test_a_functional_model_tells_inputs_in_order_and_outputs_by_their_use() -> None:
    facts = read_config(FUNCTIONAL)
    assert [spec.name for spec in facts.inputs] == ["a", "ids"]
    assert facts.inputs[1] == TensorSpec(name="ids", shape=(2, 9), dtype="int32")
    assert facts.outputs == (TensorSpec(name="dense", shape=(1, 5), dtype="float32"),)


def test_outputs_that_only_keras_knows_are_left_out() -> None:
    changed = copy.deepcopy(FUNCTIONAL)
    changed["config"]["output_layers"] = [["dense", 0, 0], ["end", 0, 0]]  # type: ignore[index]
    assert read_config(changed).outputs == ()


def test_keras_2_says_batch_input_shape() -> None:
    first = layer("Dense", name="d", batch_input_shape=[None, 4], units=2, trainable=True)
    for model in (sequential(first), {"class_name": "Sequential", "config": [first]}):
        facts = read_config(model)
        assert facts.inputs == (TensorSpec(name="d", shape=(None, 4), dtype="float32"),)


def test_a_dtype_policy_is_read() -> None:
    policy = {"class_name": "DTypePolicy", "config": {"name": "float16"}}
    first = layer("InputLayer", name="x", batch_shape=[1, 2], dtype=policy)
    assert read_config(sequential(first)).inputs[0].dtype == "float16"


def test_wrapped_and_nested_layers_are_counted() -> None:
    wrapper = layer("Bidirectional", name="b", layer=layer("LSTM", name="l"))
    facts = read_config(sequential(given("x", 1, 2), sequential(given("y", 1), DENSE), wrapper))
    assert facts.layer_counts == {"Dense": 1, "Bidirectional(LSTM)": 1}


def test_registered_and_unregistered_classes_are_custom() -> None:
    registered = layer("Scale", None, name="s") | {"registered_name": "mine>Scale"}
    unregistered = layer("Swap", None, name="t") | {"registered_name": "Swap"}
    foreign = layer("Patch", "keras_hub.layers", name="p")
    function = {"module": "builtins", "class_name": "function", "config": "swish2"}
    activated = layer("Dense", name="d", activation=function | {"registered_name": "function"})
    facts = read_config(sequential(registered, unregistered, foreign, activated))
    assert facts.custom_classes == ("Swap", "keras_hub.layers.Patch", "mine>Scale", "swish2")


def test_what_keras_brings_is_not_custom() -> None:
    built_in = [
        layer("TFOpLambda", "tf_keras.src.layers.core.tf_op_layer", name="op")
        | {"registered_name": "TFOpLambda"},
        layer("LayerScale", "keras.src.applications.convnext", name="scale")
        | {"registered_name": "LayerScale"},
        layer("Dense", name="d", kernel_initializer=layer("GlorotUniform", "keras.initializers")),
    ]
    assert read_config(sequential(*built_in)).custom_classes == ()


def test_in_h5_files_custom_layers_are_those_keras_has_not() -> None:
    known = {"class_name": "Dense", "config": {"name": "d", "trainable": True}}
    unknown = {"class_name": "Swap", "config": {"name": "s", "trainable": True}}
    registered = {"class_name": "mine>Scale", "config": {"name": "t"}}
    initializer = {"class_name": "GlorotUniform", "config": {"seed": None}}
    model = {"class_name": "Sequential", "config": {"layers": [known, unknown, registered]}}
    known["config"]["kernel_initializer"] = initializer  # type: ignore[index]
    assert read_config(model).custom_classes == ("Swap", "mine>Scale")


def test_lambda_layers_with_marshalled_code_are_found() -> None:
    code = {"class_name": "__lambda__", "config": {"code": "4wE=", "defaults": None}}
    facts = read_config(
        sequential(
            layer("Lambda", name="three", function=code),
            layer("Lambda", name="two", function=["4wE=", None, None], function_type="lambda"),
            layer("Lambda", name="named", function="my_function", function_type="function"),
        )
    )
    assert facts.lambda_layers == ("three", "two")


def test_a_lambda_given_as_an_argument_is_found() -> None:
    code = {"class_name": "__lambda__", "config": {"code": "4wE="}}
    facts = read_config(sequential(layer("Dense", name="d", activation=code)))
    assert facts.lambda_layers == ("a lambda function",)


def test_compile_settings_need_no_code() -> None:
    loss: dict[str, Any] = {
        "module": None,
        "class_name": "MyLoss",
        "config": {},
        "registered_name": "MyLoss",
    }
    facts = read_config(sequential(DENSE) | {"compile_config": {"loss": loss}})
    assert facts.custom_classes == ()


@pytest.mark.parametrize("config", [None, [], "x", 3, {}, {"config": 5}, {"config": {"layers": 1}}])
def test_nonsense_has_no_facts(config: Any) -> None:
    facts = read_config(config)
    assert (facts.inputs, facts.outputs, facts.layer_counts) == ((), (), {})


def test_deep_nesting_is_no_trouble() -> None:
    config: Any = {}
    for _ in range(50_000):
        config = {"config": [config]}
    assert read_config(config).custom_classes == ()


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [here, *(place for key, it in inside for place in places(it, (*here, key)))]


@pytest.mark.parametrize("seed", range(3))
def test_any_part_may_be_anything(seed: int) -> None:
    chance = random.Random(seed)
    odd = ["null", "-1", "1.5", '""', "[]", "{}", "[[]]", "true", '["a", 0, 0]', "[null, -3]"]
    odd += ['{"class_name": "Lambda", "config": null}', '{"class_name": [], "config": {}}']
    for _ in range(300):
        config = copy.deepcopy(chance.choice([FUNCTIONAL, sequential(given("x", 1), DENSE)]))
        *before, last = chance.choice(places(config)[1:])
        parent: Any = config
        for key in before:
            parent = parent[key]
        parent[last] = json.loads(chance.choice(odd))
        read_config(config)


def test_all_layers_are_counted_most_frequent_first() -> None:
    relu = layer("ReLU", name="r")
    facts = read_config(sequential(given("x", 1), DENSE, relu, relu))
    assert list(facts.layer_counts.items()) == [("ReLU", 2), ("Dense", 1)]
