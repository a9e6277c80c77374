"""Optimizer, loss and metrics of a fine-tuning: from the compiled model, or by their names."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UsageError
from edgekit.quote import first_line
from edgekit_converters.pruning.training.keras_names import named, plain
from edgekit_converters.pruning.training.settings import TrainingSettings
from edgekit_converters.tensorflow_setup import tensorflow

Family = Literal["sparse", "categorical", "binary", "values", "own"]
"""What a loss takes: class numbers, a row of shares a sample, zeros and ones, any numbers, or what
only its author knows."""
Ending = Literal["softmax", "sigmoid", "other"]

DEFAULT_RATE = 1e-3
_SEEN = 20
"""A schedule that tells nothing of itself is asked about so many steps, up to half a million."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What is trained for, on which output."""

    output: int
    """Its number among the model's outputs."""
    loss: Any
    family: Family
    from_logits: bool
    """Whether the loss takes scores before the softmax or sigmoid."""
    metrics: tuple[Any, ...]
    notes: tuple[str, ...] = ()


def goal(
    model: Any,
    settings: TrainingSettings,
    keras: Any,
    *,
    name: str = "model",
    seen: NDArray[Any] | None = None,
) -> Goal:
    """The loss and the metrics to fine-tune `model` with.

    Args:
        model: of either Keras.
        settings: names that the user gave.
        keras: the module ``keras`` or ``tf_keras`` that `model` is of.
        name: what messages call the model.
        seen: some of its outputs, where its layers do not tell what it ends with.

    Raises:
        UsageError: there is no loss, no loss or metric of that name, or several outputs are
            trained at once.
    """
    config = _compile_config(model)
    stored, output = _of_one_output(config.get("loss"), model, settings.loss, name)
    if settings.loss is None and stored is None:
        example = _fitting(model, output)
        message = (
            f"{name}: is not compiled, or with code that is not here, so its loss is unknown; "
            f"give --loss, e.g. {example}, or the code with --custom-objects"
        )
        raise UsageError(message)
    if settings.loss is None:
        loss = _restored(stored, keras.losses, keras, f"{name}: its loss")
        notes: tuple[str, ...] = ()
        from_logits = _takes_logits(loss)
    else:
        loss, from_logits, notes = _loss_named(settings.loss, model, output, keras, seen)
    family = family_of(loss)
    if settings.metrics is not None:
        metrics = [_metric_named(text, keras) for text in settings.metrics]
    else:
        metrics = _stored_metrics(config.get("metrics"), model, output, keras)
        if not metrics and family not in ("values", "own"):
            metrics = ["accuracy"]
    if family == "binary" and from_logits:  # which Keras would hold against 0.5
        right = keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)
        metrics = [right if one in ("accuracy", "acc") else one for one in metrics]
    return Goal(
        output=output,
        loss=loss,
        family=family,
        from_logits=from_logits,
        metrics=tuple(metrics),
        notes=notes,
    )


def optimizer(
    model: Any, settings: TrainingSettings, steps: int, keras: Any
) -> tuple[Any, tuple[str, ...]]:
    """A fresh optimizer whose learning rate falls to 0 within `steps` along a cosine, and notes.

    Class and settings are those that the model was compiled with, unless others are named.

    Raises:
        UsageError: no optimizer of that name.
    """
    notes: list[str] = []
    rate: float | None = None
    made = getattr(model, "optimizer", None)
    if settings.optimizer is not None:
        made = named("--optimizer", settings.optimizer, keras.optimizers.get, keras.optimizers)
    elif made is None:
        made = keras.optimizers.Adam(DEFAULT_RATE)
        notes.append("optimizer: Adam, since the model is not compiled with any")
    else:
        made = getattr(made, "inner_optimizer", None) or made  # of one that scales the loss
        rate = _stored_rate(made, keras)
    config = dict(made.get_config())
    if rate is None and settings.optimizer is not None:
        rate = _stored_rate(made, keras)
    if not rate or rate <= 0:
        if rate is not None and settings.learning_rate is None:
            notes.append(f"learning rate: {DEFAULT_RATE:g}, since the stored one is 0")
        rate = DEFAULT_RATE
    rate = settings.learning_rate or rate
    config["learning_rate"] = keras.optimizers.schedules.CosineDecay(rate, max(1, steps))
    if config.get("use_ema"):
        config["use_ema"] = False  # its averages would bring back what was set to zero
    return type(made).from_config(config), tuple(notes)


def ending(model: Any, output: int = 0) -> Ending | None:
    """What the output goes through last; None where the model's layers do not tell."""
    try:
        tensor = model.outputs[output]
    except (AttributeError, IndexError, TypeError):
        return None
    for _ in range(20):
        history = getattr(tensor, "_keras_history", None)
        layer = getattr(history, "operation", None) or getattr(history, "layer", None)
        if layer is None:
            return None
        if hasattr(layer, "outputs") and hasattr(layer, "layers"):
            return ending(layer, getattr(history, "tensor_index", 0))
        kind = type(layer).__name__
        function = getattr(layer, "activation", None)
        inner = getattr(getattr(layer, "layer", None), "activation", None)
        inner_name = getattr(function or inner, "__name__", "")
        if "softmax" in (inner_name, kind.lower()):
            return "softmax"
        if "sigmoid" in (inner_name, kind.lower()):
            return "sigmoid"
        if kind not in {"Reshape", "Flatten", "Dropout", "Permute", "Identity", "Activation"}:
            return "other"
        if kind == "Activation" and inner_name != "linear":
            return "other"
        tensor = layer.input
    return "other"


def family_of(loss: Any) -> Family:
    """What `loss`, a function or an object of Keras, or of a class made of one, takes."""
    said = getattr(loss, "__name__", "")
    for name in [said] if said else [kind.__name__ for kind in type(loss).__mro__]:
        known = plain(name)
        if known == "lossfunctionwrapper":
            known = plain(getattr(getattr(loss, "fn", loss), "__name__", ""))
        if known.startswith(("sparsecategorical", "categoricalgeneralized")):
            return "sparse"
        if known.startswith("categorical"):
            return "categorical"
        if known.startswith("binary"):
            return "binary"
    maker = getattr(loss, "fn", loss if said else type(loss))
    package = str(maker.__module__).partition(".")[0]
    return "values" if package in ("keras", "tf_keras") else "own"


def _compile_config(model: Any) -> Mapping[str, Any]:
    found: Any = getattr(model, "get_compile_config", dict)()
    if found:
        return dict(found)
    loss = getattr(model, "loss", None)  # compiled in some other way, as by a file of Keras 2
    return {"loss": loss} if loss else {}


def _of_one_output(stored: Any, model: Any, given: str | None, name: str) -> tuple[Any | None, int]:
    """The loss, and the output it is for."""
    names = output_names(model)
    if isinstance(stored, dict) and "class_name" not in stored:
        trained = {key: loss for key, loss in stored.items() if loss is not None}
        if len(trained) == 1 and next(iter(trained)) in names:
            key, loss = next(iter(trained.items()))
            return loss, names.index(key)
        stored = next(iter(trained.values())) if len(trained) == len(names) == 1 else trained
    if isinstance(stored, list | tuple):
        losses = [(loss, index) for index, loss in enumerate(stored) if loss is not None]
        if len(losses) == 1:
            return losses[0]
    if len(names) > 1:
        what = "--loss" if given else "the model's loss"
        message = (
            f"{name}: has {len(names)} outputs ({', '.join(names)}), and fine-tuning trains one; "
            f"{what} does not say which: compile the model with loss={{{names[0]!r}: …}}"
        )
        raise UsageError(message)
    return stored or None, 0


def _fitting(model: Any, output: int) -> str:
    last = ending(model, output)
    if last and model.outputs[output].shape[-1] == 1:
        return "mse" if last == "other" else "binary_crossentropy"
    return "sparse_categorical_crossentropy"


def output_names(model: Any) -> list[str]:
    """Names of the outputs, in their order; ``output`` where the model tells none."""
    names = list(getattr(model, "output_names", None) or [])
    return [str(name) for name in names] or ["output"]


def _restored(stored: Any, module: Any, keras: Any, subject: str) -> Any:
    """A loss, a metric or a schedule from what the compile config holds."""
    if not isinstance(stored, str | dict):
        return stored
    try:
        made = module.deserialize(stored) if isinstance(stored, dict) else module.get(stored)
        if isinstance(made, str):  # the name of what is not of Keras, but of its user
            made = keras.saving.deserialize_keras_object(stored)
    except (ValueError, TypeError, ImportError) as error:
        message = f"{subject} cannot be restored ({first_line(error)}); give --loss and --metric"
        raise UsageError(message) from error
    return made


def _takes_logits(loss: Any) -> bool:
    if hasattr(loss, "get_config"):
        return bool(loss.get_config().get("from_logits", False))
    return False


def _loss_named(
    text: str, model: Any, output: int, keras: Any, seen: NDArray[Any] | None
) -> tuple[Any, bool, tuple[str, ...]]:
    made = named("--loss", text, keras.losses.get, keras.losses)
    wanted = plain(getattr(made, "__name__", "") or type(made).__name__)
    classes: dict[str, Any] = {
        plain(name): value
        for name, value in vars(keras.losses).items()
        if inspect.isclass(value) and issubclass(value, keras.losses.Loss)
    }
    kind = classes.get(wanted)
    if kind is None or "from_logits" not in inspect.signature(kind).parameters:
        return made, False, ()
    needed: Ending = "sigmoid" if family_of(made) == "binary" else "softmax"
    last = ending(model, output)
    if last is None and seen is not None:
        last = needed if _are_shares(seen, summed=needed == "softmax") else "other"
    from_logits = last == "other"
    if last == "softmax" and needed == "sigmoid":
        from_logits = False
    told = (
        f"loss: {text}, from_logits={from_logits}, since the model ends "
        f"{'without' if from_logits else 'with'} a {needed if from_logits else last or needed}"
    )
    if last is None:
        told = f"loss: {text}, from_logits=False; the model does not tell how it ends"
    return kind(from_logits=from_logits), from_logits, (told,)


def _are_shares(seen: NDArray[Any], *, summed: bool) -> bool:
    within = bool((seen >= 0).all() and (seen <= 1).all())
    return within and (not summed or bool(np.allclose(seen.sum(axis=-1), 1, atol=1e-2)))


def _stored_metrics(stored: Any, model: Any, output: int, keras: Any) -> list[Any]:
    names = output_names(model)
    if isinstance(stored, dict) and "class_name" not in stored:
        stored = stored.get(names[output])
    if isinstance(stored, list | tuple) and any(isinstance(s, list | tuple) for s in stored):
        stored = stored[output] if output < len(stored) else None
    if stored is None:
        return []
    if not isinstance(stored, list | tuple):
        stored = [stored]
    return [
        metric
        if isinstance(metric, str)
        else _restored(metric, keras.metrics, keras, "its metrics")
        for metric in stored
        if metric is not None
    ]


def _metric_named(text: str, keras: Any) -> Any:
    if text.lower() not in ("accuracy", "acc"):
        made = named("--metric", text, keras.metrics.get, keras.metrics)
        return made if isinstance(made, keras.metrics.Metric) else text
    return "accuracy"


def _stored_rate(made: Any, keras: Any) -> float | None:
    """The learning rate as a number; of a schedule, the one it starts from, or rises to."""
    rate = made.get_config().get("learning_rate")
    if isinstance(rate, dict):
        config: Mapping[str, Any] = rate.get("config", {})
    elif hasattr(rate, "get_config"):
        config = rate.get_config()
    else:
        return None if rate is None else float(rate)
    values: Sequence[Any] = config.get("values") or []
    found = [config.get("initial_learning_rate"), config.get("warmup_target"), *values[:1]]
    numbers = [float(number) for number in found if isinstance(number, int | float)]
    if numbers:
        return max(numbers)
    schedule = _restored(rate, keras.optimizers.schedules, keras, "its learning rate")
    steps = tensorflow().constant([0, *(2**n for n in range(_SEEN))], "int64")
    rates = [float(schedule(step)) for step in steps]  # it may rise before it falls
    return max((rate for rate in rates if math.isfinite(rate)), default=0.0)
