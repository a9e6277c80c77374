"""Load a trained model: Keras 3, Keras 2, a SavedModel folder, or an object already in memory."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from edgekit import keras_file, source_kind
from edgekit._lazy import need
from edgekit.errors import EdgekitError, MissingDependencyError, SourceError, UsageError
from edgekit.keras_file import KerasFacts
from edgekit_converters import keras_precision, keras_wrappers
from edgekit_converters.custom_objects import classes_in
from edgekit_converters.loaded_model import Framework, LoadedModel, load_savedmodel, wrap
from edgekit_converters.tensorflow_setup import tensorflow

_CURES = ("--custom-objects", "--trust-model", "save it as .h5 or as a SavedModel")
"""An error that names one of these needs no second opinion from another Keras."""


def load(
    path: str, *, custom_objects: str | None = None, trust: bool = False, to_train: bool = False
) -> LoadedModel:
    """Load the model at `path`, in Keras' safe mode unless `trust` is set.

    Files written by Keras 3 go to keras, by Keras 2 to tf-keras; when the first refuses, the other
    is tried, and when both do, the error says what each said. With `to_train`, the model keeps its
    precision, and is compiled as it was saved, unless its loss or optimizer is unknown here.

    Raises:
        SourceError: the file is not a model, or cannot be rebuilt; the message says what to give.
        MissingDependencyError: the framework that wrote the file is not installed.
    """
    kind = source_kind.sniff(Path(path))
    tensorflow()
    known = classes_in(custom_objects)
    if kind == "savedmodel":
        return load_savedmodel(path)
    if kind not in {"keras", "h5"}:
        message = f"{path}: a {kind} file, not a Keras model; give a .keras, .h5 or SavedModel"
        raise SourceError(message)
    facts = keras_file.read(Path(path))
    refuse_code(path, facts, trust=trust)
    return _load_either(path, facts, known, trust=trust, to_train=to_train)


def refuse_code(path: str, facts: KerasFacts, *, trust: bool) -> None:
    """Refuse a model that holds Python code, unless its maker is trusted.

    Raises:
        SourceError: it holds a Lambda layer.
    """
    if facts.has_lambda and not trust:
        message = (
            f"{path}: contains a Lambda layer, that is, arbitrary Python code; "
            "add --trust-model if you trust whoever made the file"
        )
        raise SourceError(message)


def from_object(model: Any) -> LoadedModel:
    """Wrap a Keras 3 or tf_keras model that is already in memory.

    Raises:
        SourceError: it is neither, or it was never built.
    """
    module = type(model).__module__
    ancestors = {base.__module__.partition(".")[0] for base in type(model).__mro__}
    name = str(getattr(model, "name", "model"))
    if "keras" in ancestors:
        import keras

        if keras.backend.backend() != "tensorflow":
            message = (
                f"{name}: runs on Keras' {keras.backend.backend()} backend here; "
                "save it with model.save('model.keras') and convert the file"
            )
            raise UsageError(message)
        return wrap(name, "keras", model)
    if "tf_keras" in ancestors:
        return wrap(name, "tf_keras", model)
    message = (
        f"{type(model).__name__} from {module}: neither a Keras model nor a path; "
        "give a Keras model object or the path of a file"
    )
    raise UsageError(message)


def _load_either(
    path: str, facts: KerasFacts, known: dict[str, Any], *, trust: bool, to_train: bool
) -> LoadedModel:
    version = facts.keras_version
    first_old = (version or "3").startswith(("1.", "2."))
    order: tuple[Framework, ...] = ("tf_keras", "keras") if first_old else ("keras", "tf_keras")
    said: list[str] = []
    for framework in order:
        try:
            model = _loaded(framework, path, facts, known, trust=trust, to_train=to_train)
        except MissingDependencyError as error:
            if not said and first_old:
                message = f"{path}: written by Keras {version}; {error}"
                raise MissingDependencyError(message) from error
            said.append(f"tf-keras: {error}")
        except SourceError as error:
            if not said and any(cure in str(error) for cure in _CURES):
                raise  # known cause, known cure: the other loader would only blur it
            said.append(str(error).removeprefix(f"{path}: "))
        else:
            if not to_train:
                return wrap(path, framework, model)
            with keras_precision.policies_kept(model):
                return wrap(path, framework, model)
    writer = f"Keras {version or 'unknown'}{_newer(version)}"
    message = f"{path}: cannot be rebuilt (written by {writer}): {'; '.join(said)}"
    raise SourceError(message)


def _newer(version: str | None) -> str:
    import keras

    theirs, ours = (
        [int(part) for part in (text or "").split(".")[:2] if part.isdigit()]
        for text in (version, keras.__version__)
    )
    return f", newer than the installed {keras.__version__}: upgrade it" if theirs > ours else ""


def _loaded(
    framework: Framework,
    path: str,
    facts: KerasFacts,
    known: dict[str, Any],
    *,
    trust: bool,
    to_train: bool,
) -> Any:
    library = need(framework, extra="keras2" if framework == "tf_keras" else "convert")
    old = framework == "tf_keras"
    try:
        with keras_wrappers.known_wrappers(facts.custom_classes if old else ()):
            if to_train:
                # what is made of the model, and compiled like it, looks for them there
                library.utils.get_custom_objects().update(known)
                with contextlib.suppress(Exception):  # of its user's own making: not compiled then
                    return library.models.load_model(
                        path, custom_objects=known or None, compile=True, safe_mode=not trust
                    )
            return library.models.load_model(
                path, custom_objects=known or None, compile=False, safe_mode=not trust
            )
    except EdgekitError:
        raise
    except Exception as error:  # Keras raises whatever its layers raise
        if old and keras_wrappers.trained_with_quantization(facts.custom_classes):
            message = (
                f"{path}: tf-keras cannot load a model of quantization-aware training from this "
                f"file ({str(error).splitlines()[0][:120]}); {_CURES[-1]}"
            )
            raise SourceError(message) from error
        who = framework.replace("_", "-")
        raise SourceError(_why_not_loaded(who, library, path, error)) from error


def _why_not_loaded(who: str, library: Any, path: str, error: Exception) -> str:
    text = " ".join(str(error).split())
    for marker in (
        "Could not locate class '",
        "Unknown layer: '",
        "Unknown object: '",
        "Could not locate function '",
    ):
        if marker in text:
            unknown = text.partition(marker)[2].partition("'")[0]
            return (
                f"{path}: {unknown!r} is not a class that {who} knows; "
                "give its code with --custom-objects FILE.py"
            )
    if "ambda" in text and ("safe_mode" in text or "unsafe" in text):
        return (
            f"{path}: contains a Lambda layer, that is, arbitrary Python code; "
            "add --trust-model if you trust whoever made the file"
        )
    return f"{who} {library.__version__} says: {type(error).__name__}: {text[:240]}"
