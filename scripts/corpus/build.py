"""Build the corpus: model files, calibration data and what Keras answers, one folder for all.

    python -m scripts.corpus.build /tmp/corpus

Each architecture becomes ``NAME.keras`` (or ``.h5``, or a SavedModel folder ``NAME.savedmodel``),
``NAME.npz`` (32 calibration samples by input name, and ``expected_*`` by output name),
``NAME.held_out.npz`` (the same for 16 further samples) and ``NAME.json``. What is there already is
left alone. TensorFlow is imported in one process for Keras 3 and one for Keras 2.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import subprocess
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any, get_args

import numpy as np
from scripts.corpus.fitting import call
from scripts.corpus.registry import CALIBRATION_SAMPLES, Array, Built, Entry, Framework, entries

_SEED = 7
_FOLDER = Path(__file__).resolve().parent
_LEAST_SPREAD = 1e-3


def main() -> int:
    """Build what is missing; 1 when an architecture could not be built."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--framework", choices=get_args(Framework), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.framework:
        return _build_all(arguments.folder, arguments.framework, arguments.only)
    return build(arguments.folder, arguments.only)


def build(folder: Path, only: list[str]) -> int:
    """Build with each framework in a process of its own; 1 when one of them failed."""
    folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    for framework in get_args(Framework):
        missing = [
            entry.name
            for entry in entries(framework=framework, only=only)
            if not (folder / f"{entry.name}.json").exists()
        ]
        if missing:
            command = [sys.executable, "-m", "scripts.corpus.build", str(folder)]
            command += ["--framework", framework, "--only", *missing]
            environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
            failed |= subprocess.run(
                command, check=False, cwd=_FOLDER.parent.parent, env=environment
            ).returncode
    return int(bool(failed))


def _build_all(folder: Path, framework: Framework, only: list[str]) -> int:
    keras = importlib.import_module("keras" if framework == "keras3" else "tf_keras")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message="The structure of `inputs`")
    failed = []
    for entry in entries(framework=framework, only=only):
        start = time.monotonic()
        keras.backend.clear_session()
        keras.utils.set_random_seed(_SEED)
        try:
            built = entry.builder(keras)
            _save(entry, built, folder)
        except Exception:  # one architecture must not stop the others; it is reported below
            failed.append(entry.name)
            traceback.print_exc()
        else:
            print(f"{entry.name}: {time.monotonic() - start:.1f} s", flush=True)
    if failed:
        print(f"not built: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def _save(entry: Entry, built: Built, folder: Path) -> None:
    calibration = {n: each[:CALIBRATION_SAMPLES] for n, each in built.samples.items()}
    held_out = {n: each[CALIBRATION_SAMPLES:] for n, each in built.samples.items()}
    outputs: list[str] = []
    for part, suffix in ((calibration, ""), (held_out, ".held_out")):
        expected = _answers(entry, built.model, part)
        outputs = list(expected)
        _judge(entry, expected)
        arrays: dict[str, Any] = {**part, **{f"expected_{n}": each for n, each in expected.items()}}
        np.savez(folder / f"{entry.name}{suffix}.npz", **arrays)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        files = [_save_model(entry, built.model, folder, suffix) for suffix in entry.suffixes]
    facts = {
        "name": entry.name,
        "framework": entry.framework,
        "covers": entry.covers,
        "files": files,
        "custom_objects": entry.custom_objects,
        "arguments": list(entry.arguments),
        "must_refuse": entry.must_refuse,
        "constant": entry.constant,
        "stateful_steps": entry.stateful_steps,
        "tolerance": entry.tolerance,
        "slow": entry.slow,
        "inputs": {n: [str(each.dtype), *each.shape[1:]] for n, each in built.samples.items()},
        "outputs": outputs,
        "parameters": int(built.model.count_params()),
    }
    (folder / f"{entry.name}.json").write_text(json.dumps(facts, indent=1) + "\n")


def _save_model(entry: Entry, network: Any, folder: Path, suffix: str) -> str:
    path = folder / f"{entry.name}{suffix or '.savedmodel'}"
    if suffix:
        network.save(path)
    elif entry.framework == "keras3":
        network.export(path, verbose=False)
    else:
        network.save(path, save_format="tf")
    return path.name


def _answers(entry: Entry, network: Any, samples: dict[str, Array]) -> dict[str, Array]:
    """What Keras says; for a stateful model, step by step from a zero state, batch by batch."""
    if not entry.stateful_steps:
        if any(each.dtype.kind in "US" for each in samples.values()):
            tensorflow = importlib.import_module("tensorflow")
            return _named(
                network,
                call(network, {n: tensorflow.constant(e) for n, e in samples.items()}, False),
            )
        return _named(network, call(network, samples, False))
    for layer in network.layers:
        if getattr(layer, "stateful", False):
            layer.reset_states() if hasattr(layer, "reset_states") else layer.reset_state()
    batch = network.inputs[0].shape[0]
    steps = [
        _named(
            network, call(network, {n: each[i : i + batch] for n, each in samples.items()}, False)
        )
        for i in range(0, entry.stateful_steps * batch, batch)
    ]
    return {name: np.concatenate([step[name] for step in steps]) for name in steps[0]}


def _named(network: Any, outputs: Any) -> dict[str, Array]:
    if isinstance(outputs, dict):
        return {name: np.asarray(each) for name, each in outputs.items()}
    if isinstance(outputs, list | tuple):
        return {
            name: np.asarray(each) for name, each in zip(network.output_names, outputs, strict=True)
        }
    return {"output": np.asarray(outputs)}


def _judge(entry: Entry, expected: dict[str, Array]) -> None:
    """Refuse an architecture whose output says nothing: not finite, or the same for all inputs.

    Raises:
        ValueError: the output is not finite, or constant where it must not be.
    """
    for name, each in expected.items():
        values = each.astype(np.float64)
        if not np.isfinite(values).all():
            message = f"{entry.name}: output {name!r} is not finite; change the builder"
            raise ValueError(message)
        spread = float(values.std(axis=0).mean() / (np.sqrt(np.mean(values**2)) + 1e-12))
        if (spread < _LEAST_SPREAD) != entry.constant:
            message = f"{entry.name}: output {name!r} varies by {spread:.1e}; change the builder"
            raise ValueError(message)


if __name__ == "__main__":
    sys.exit(main())
