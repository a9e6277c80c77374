"""Tiny models built once, and child processes that last for all tests: TensorFlow loads twice."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.artifact import Conversion
from edgekit.child import Limits
from edgekit.progress import Progress
from edgekit.request import ConvertRequest
from edgekit.sessions import open_session
from edgekit_converters.convert import convert
from edgekit_converters.workers import Workers

Make = Callable[..., Conversion]


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the models that zoo.py builds."""
    for name in ("tensorflow", "tf_keras", "tensorflow_model_optimization"):
        if not _is_installed(name):
            pytest.skip(f"{name} is not installed, so no Keras models can be built")
    folder = tmp_path_factory.mktemp("zoo")
    script = Path(__file__).with_name("zoo.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def _is_installed(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None


@pytest.fixture(scope="session")
def workers() -> Iterator[Workers]:
    """Child processes for all conversions."""
    with Workers(Limits(time_s=240), verbose=False, on_event=lambda _: None) as shared:
        yield shared


@pytest.fixture(scope="session")
def make(zoo: Path, workers: Workers, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Convert a model of the zoo, as `edgekit.convert` does; the same call twice is made once.

    ``make("cnn.keras", to=("tflite",), quantize=("int8",))`` takes its own data; options are those
    of `ConvertRequest`.
    """
    known: dict[str, Conversion] = {}

    def made(
        name: str,
        *,
        to: tuple[Any, ...] = ("tflite",),
        quantize: tuple[Any, ...] = ("float32",),
        data: str | None = "own",
        **options: Any,
    ) -> Conversion:
        key = json.dumps([name, to, quantize, data, options], default=str)
        if key not in known:
            if data == "own":
                data = str(zoo / f"{Path(name).stem}.npz")
            request = ConvertRequest(
                source=zoo / name,
                out=tmp_path_factory.mktemp("made"),
                formats=to,
                precisions=quantize,
                calibrate=data,
                **options,
            )
            known[key] = convert(request, Progress(total=1, enabled=False), workers=workers)
        return known[key]

    return made


@pytest.fixture(scope="session")
def float_tflite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float TFLite file of two dense layers, ``row`` (1, 64) to ``scores`` (1, 64)."""
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    path = tmp_path_factory.mktemp("float") / "dense.tflite"
    path.write_bytes(_dense_tflite())
    return path


@pytest.fixture(scope="session")
def float_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as ONNX."""
    pytest.importorskip("onnx", reason="onnx is not installed")
    path = tmp_path_factory.mktemp("float") / "dense.onnx"
    path.write_bytes(_dense_onnx())
    return path


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples for both: ``row`` (32, 64)."""
    path = tmp_path_factory.mktemp("rows") / "rows.npz"
    np.savez(path, row=np.random.default_rng(1).normal(size=(32, 64)).astype(np.float32))
    return path


@pytest.fixture
def manifest_of() -> Callable[[Path], dict[str, Any]]:
    """Read the manifest inside a file, as the runtime on the device does."""

    def read(path: Path) -> dict[str, Any]:
        with open_session(path) as session:
            return session.manifest

    return read


# ---- the command line, and what it leaves behind ----------------------------------------------


class CommandLine:
    """Runs ``edgekit`` in processes of its own, and sees what they leave behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        """Where the commands run."""
        self.temporary = folder.parent / "temporary"
        self._mark = uuid.uuid4().hex
        for made in (folder, self.temporary):
            made.mkdir()

    def __call__(self, *arguments: object, **options: Any) -> "subprocess.CompletedProcess[str]":
        """Run to the end; exit code, stdout and stderr are in the result."""
        started = self.start(*arguments, **options)
        out, err = started.communicate(timeout=280)
        return subprocess.CompletedProcess(started.args, started.returncode, out, err)

    def start(
        self, *arguments: object, environment: dict[str, str] | None = None, **options: Any
    ) -> "subprocess.Popen[str]":
        """Start, and return at once."""
        return self._start("-m", "edgekit", *arguments, environment=environment, **options)

    def python(self, *arguments: object) -> "subprocess.CompletedProcess[str]":
        """Run Python itself, with the same guards."""
        started = self._start(*arguments)
        out, err = started.communicate(timeout=280)
        return subprocess.CompletedProcess(started.args, started.returncode, out, err)

    def _start(
        self, *arguments: object, environment: dict[str, str] | None = None, **options: Any
    ) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*options.pop("before", ()), sys.executable, *map(str, arguments)],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "TMPDIR": str(self.temporary),
                "EDGEKIT_TEST": self._mark,
                **(environment or {}),
            },
            **options,
        )

    def children(self, module: str = "") -> list[int]:
        """Process ids of what was started and still runs; those that serve `module`."""
        found = []
        for process in Path("/proc").iterdir():
            try:
                ours = process.name.isdigit() and self._mark in (process / "environ").read_text()
                told = (process / "cmdline").read_text() if ours else ""
            except OSError:
                continue
            if told and module in told:
                found.append(int(process.name))
        return found

    def left(self) -> list[str]:
        """Temporary files and processes that outlived the commands; given a second to go."""
        end = time.monotonic() + 2
        while self.children() and time.monotonic() < end:
            time.sleep(0.05)
        return [str(path) for path in self.temporary.iterdir()] + [
            f"process {process}" for process in self.children()
        ]


@pytest.fixture(scope="session")
def new_command_line() -> Callable[[Path], CommandLine]:
    """For fixtures that last longer than a test: ``new_command_line(folder / "work")``."""
    return CommandLine


@pytest.fixture
def edgekit(tmp_path: Path) -> Iterator[CommandLine]:
    """The command line; at the end nothing may be left in memory or among temporary files."""
    line = CommandLine(tmp_path / "work")
    yield line
    assert line.left() == []


# ---- two dense layers without TensorFlow ------------------------------------------------------


def _weights() -> list[Any]:
    random = np.random.default_rng(0)
    return [random.normal(size=(64, 64)).astype(np.float32) / 8 for _ in range(2)]


def _dense_onnx() -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 64]) for n in "xy"]
    values[0].name, values[1].name = "row", "scores"
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["row", "first"], ["a"]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("MatMul", ["b", "second"], ["scores"]),
        ],
        "dense",
        values[:1],
        values[1:],
        [
            numpy_helper.from_array(w, n)
            for w, n in zip(_weights(), ("first", "second"), strict=True)
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _dense_tflite() -> bytes:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    names = ("row", "first", "hidden", "second", "scores")
    buffers = [schema.BufferT() for _ in range(3)]
    for buffer, weights in zip(buffers[1:], _weights(), strict=True):
        buffer.data = np.frombuffer(weights.T.tobytes(), np.uint8)
    tensors = []
    for name, stored in zip(names, (0, 1, 0, 2, 0), strict=True):
        tensor = schema.TensorT()
        tensor.name, tensor.buffer, tensor.type = name.encode(), stored, 0
        tensor.shape = np.array([64, 64] if stored else [1, 64], np.int32)
        tensors.append(tensor)
    operators = []
    for index, relu in ((0, 1), (2, 0)):
        operator = schema.OperatorT()
        operator.inputs = np.array([index, index + 1, -1], np.int32)
        operator.outputs = np.array([index + 2], np.int32)
        operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
        operator.builtinOptions = schema.FullyConnectedOptionsT()
        operator.builtinOptions.fusedActivationFunction = relu
        operators.append(operator)
    code, signature = schema.OperatorCodeT(), schema.SignatureDefT()
    code.builtinCode = code.deprecatedBuiltinCode = 9
    code.version = 1
    signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
    for side, name, place in (("inputs", "row", 0), ("outputs", "scores", 4)):
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), place
        setattr(signature, side, [entry])
    graph, model = schema.SubGraphT(), schema.ModelT()
    graph.tensors, graph.operators = tensors, operators
    graph.inputs, graph.outputs = np.array([0], np.int32), np.array([4], np.int32)
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers, model.signatureDefs = buffers, [signature]
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
