import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.errors import ClosedError, DataError, SourceError, UsageError, VerificationError

Build = Callable[..., Path]
WEIGHTS = np.array([[1.0, -1.0, 0.5], [0.5, 1.0, -1.0]], np.float32)
ROW = np.array([[1.0, 2.0]], np.float32)


@pytest.fixture(params=["tflite", "onnx"])
def tiny(request: Any) -> Build:
    build: Build = request.getfixturevalue(f"tiny_{request.param}")
    return build


@pytest.fixture
def model(tiny: Build) -> Iterator[edgekit.Model]:
    with edgekit.load(tiny()) as model:
        yield model


def test_one_array_in_one_array_out(model: edgekit.Model) -> None:
    np.testing.assert_allclose(model(ROW), ROW @ WEIGHTS, rtol=1e-6)


def test_names_in_names_out(model: edgekit.Model) -> None:
    np.testing.assert_allclose(model.run({"image": ROW})["scores"], ROW @ WEIGHTS, rtol=1e-6)


def test_it_says_what_it_is(model: edgekit.Model) -> None:
    assert model.inputs[0].name == "image"
    assert model.outputs[0].name == "scores"
    assert model.backend.split()[0] in {"ai-edge-litert", "onnxruntime"}
    assert (model.instances, model.closed, model.labels) == (1, False, ())


def test_names_that_are_missing_or_unknown_are_told(model: edgekit.Model) -> None:
    for given in ({}, {"picture": ROW}, {"image": ROW, "more": ROW}):
        with pytest.raises(DataError, match="the model takes \\['image'\\]; name them so"):
            model.run(given)
    with pytest.raises(DataError, match="out: no output 'x'; there are: scores"):
        model.run({"image": ROW}, out={"x": np.zeros((1, 3), np.float32)})


def test_bytes_are_loaded_like_the_file(tiny: Build) -> None:
    path = tiny()
    with edgekit.load(path.read_bytes()) as model:
        assert model.path is None
        np.testing.assert_array_equal(model(ROW), edgekit.load(path)(ROW))


def test_a_file_that_is_written_over_does_not_disturb_the_model(tiny: Build) -> None:
    path = tiny()
    with edgekit.load(path) as model:
        before = model(ROW)
        path.write_bytes(b"")
        np.testing.assert_array_equal(model(ROW), before)


@pytest.mark.parametrize("instances", [1, 3])
def test_calls_from_many_threads_are_bit_equal_to_serial_ones(tiny: Build, instances: int) -> None:
    rows = np.random.default_rng(0).normal(size=(64, 1, 2)).astype(np.float32)
    with edgekit.load(tiny(), instances=instances) as model:
        serial = [model(row) for row in rows]
        with ThreadPoolExecutor(8) as pool:
            for _ in range(10):
                for expected, got in zip(serial, pool.map(model, rows), strict=True):
                    np.testing.assert_array_equal(got, expected)


def test_asyncio_calls_leave_the_loop_free(model: edgekit.Model) -> None:
    async def calls() -> list[Any]:
        return await asyncio.gather(
            *(model.call_async(ROW) for _ in range(5)), model.run_async({"image": ROW})
        )

    *arrays, named = asyncio.run(calls())
    for array in (*arrays, named["scores"]):
        np.testing.assert_array_equal(array, model(ROW))


def test_an_observer_is_told_of_each_call_until_it_is_removed(model: edgekit.Model) -> None:
    seen: list[edgekit.Observation] = []
    remove = model.observe(seen.append)
    result = model(ROW)
    remove()
    remove()
    model(ROW)
    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0].inputs["image"], ROW)
    np.testing.assert_array_equal(seen[0].outputs["scores"], result)
    assert seen[0].latency_ns > 0


def test_swap_changes_the_file_while_calls_go_on(tiny_tflite: Build) -> None:
    paths = [tiny_tflite("one.tflite"), tiny_tflite("two.tflite", weights=WEIGHTS * 2)]
    expected = [ROW @ WEIGHTS, ROW @ WEIGHTS * 2]
    done = threading.Event()
    with edgekit.load(paths[0], instances=2) as model:

        def call() -> int:
            count = 0
            while not done.is_set():
                got = model(ROW)
                assert any(np.allclose(got, one) for one in expected), got
                count += 1
            return count

        with ThreadPoolExecutor(4) as pool:
            counts = [pool.submit(call) for _ in range(4)]
            for turn in range(30):
                model.swap(paths[(turn + 1) % 2])
                np.testing.assert_allclose(model(ROW), expected[(turn + 1) % 2], rtol=1e-6)
            done.set()
            assert all(count.result() > 0 for count in counts)


def test_a_bad_file_leaves_the_old_one_serving(tiny: Build, tmp_path: Path) -> None:
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(b"\x1c\0\0\0TFL3" + bytes(100))
    with edgekit.load(tiny()) as model:
        with pytest.raises(SourceError):
            model.swap(bad)
        with pytest.raises(SourceError, match="no such file"):
            model.swap(tmp_path / "missing.onnx")
        np.testing.assert_allclose(model(ROW), ROW @ WEIGHTS, rtol=1e-6)


def test_a_file_with_other_inputs_or_outputs_does_not_replace_this_one(tiny_tflite: Build) -> None:
    other = tiny_tflite("other.tflite", weights=np.ones((2, 4), np.float32))
    with edgekit.load(tiny_tflite()) as model:
        with pytest.raises(
            VerificationError, match="other.tflite: gives scores: numbers \\(1, 4\\)"
        ):
            model.swap(other)
        assert model(ROW).shape == (1, 3)


def test_a_quantized_file_may_replace_a_float_one(tiny: Build) -> None:
    with edgekit.load(tiny("a.model")) as model:
        model.swap(tiny("b.model", io="int8"))
        np.testing.assert_allclose(model(ROW), ROW @ WEIGHTS, atol=0.1)


def test_a_closed_model_says_so(tiny: Build) -> None:
    model = edgekit.load(tiny())
    model.close()
    model.close()
    for use in (lambda: model(ROW), lambda: model.run({"image": ROW}), lambda: model.swap("x")):
        with pytest.raises(ClosedError, match="is closed; load it again"):
            use()
    assert model.closed


def test_close_waits_for_calls_under_way(tiny: Build) -> None:
    model = edgekit.load(tiny())
    failures: list[BaseException] = []

    def call() -> None:
        try:
            while True:
                model(ROW)
        except ClosedError:
            pass
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    model.close()
    for thread in threads:
        thread.join(10)
    assert not failures
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_after_a_fork_is_told_to_load_for_itself(tiny: Build) -> None:
    script = """
import os, sys, warnings
import numpy as np
import edgekit
warnings.simplefilter("ignore")
model = edgekit.load(sys.argv[1])
row = np.ones((1, 2), np.float32)
before = model(row)
child = os.fork()
if not child:
    try:
        model(row)
    except edgekit.ClosedError as error:
        with edgekit.load(sys.argv[1]) as own:
            os._exit(7 if "forked" in str(error) and (own(row) == before).all() else 1)
    os._exit(2)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert (model(row) == before).all()
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tiny())], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"threads": 0}, "threads=0: not a number of threads"),
        ({"threads": 20000}, "threads=20000: not a number of threads; give 1 to 256"),
        ({"instances": 0}, "instances=0: not a number of instances"),
        ({"instances": 1.5}, "instances=1.5: not a number of instances"),
        ({"backend": "tensorflow"}, "backend='tensorflow': is no backend; choose from: auto"),
        ({"signature": "other"}, "signature"),
        ({"preprocess": "sclae=1/255"}, "sclae"),
    ],
)
def test_options_that_make_no_sense_are_told(
    tiny: Build, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        edgekit.load(tiny(), **options)


def test_a_provider_that_is_not_there_is_told(tiny_onnx: Build, tiny_tflite: Build) -> None:
    with pytest.raises(UsageError, match="FooProvider: not in this onnxruntime; choose from: "):
        edgekit.load(tiny_onnx(), providers=["FooProvider"])
    with pytest.raises(UsageError, match="providers are for .onnx files"):
        edgekit.load(tiny_tflite(), providers=["CUDAExecutionProvider"])


def test_labels_come_from_a_file_or_a_list(tiny: Build, tmp_path: Path) -> None:
    names = tmp_path / "labels.txt"
    names.write_text("a\nb\nc\n")
    assert edgekit.load(tiny(), labels=names).labels == ("a", "b", "c")
    assert edgekit.load(tiny(), labels=["x", "y", "z"]).labels == ("x", "y", "z")


def test_a_labels_file_may_begin_with_the_mark_that_editors_write(
    tiny: Build, tmp_path: Path
) -> None:
    (tmp_path / "labels.txt").write_bytes("\ufeffä\r\nb\r\nc".encode())
    assert edgekit.load(tiny(), labels=tmp_path / "labels.txt").labels == ("ä", "b", "c")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("missing.txt", "no such file or folder; check the path$"),
        ("", "a folder, not a file; check the path$"),
        ("names.txt/x", "a part of this path is a file, not a folder; check the path$"),
        ("latin.txt", "not UTF-8 text; save it as UTF-8, one class name a line$"),
        ("empty.txt", "has no names; write one class name a line$"),
        ("nul\0", r"cannot be read \(embedded null byte\); check the path$"),
        ("x" * 300, r"cannot be read \(File name too long\); check the path$"),
    ],
)
def test_a_labels_file_that_cannot_be_read_is_one_line(
    tiny: Build, tmp_path: Path, name: str, told: str
) -> None:
    (tmp_path / "names.txt").write_text("a\nb\nc")
    (tmp_path / "latin.txt").write_bytes(b"\xe4\nb\nc")
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(DataError, match=f"^labels [^\n]*: {told}"):
        edgekit.load(tiny(), labels=tmp_path / name)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_labels_file_that_may_not_be_read_says_what_to_run(tiny: Build, tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.touch(mode=0)
    with pytest.raises(DataError, match="permission denied; make it readable: chmod u.r"):
        edgekit.load(tiny(), labels=path)


def test_a_self_test_is_refused_where_the_file_has_none(tiny: Build) -> None:
    with pytest.raises(VerificationError, match="has nothing to test itself with"):
        edgekit.load(tiny(), self_test=True)


def test_out_may_be_named_where_there_is_one_output(tiny: Build) -> None:
    out = np.zeros((1, 3), np.float32)
    with edgekit.load(tiny()) as model:
        assert model(ROW, out={"scores": out}) is out
        with pytest.raises(DataError, match="no output 'x'"):
            model(ROW, out={"x": out})


def test_an_observer_must_be_a_function(model: edgekit.Model) -> None:
    with pytest.raises(UsageError, match="observe: None is no function"):
        model.observe(None)  # type: ignore[arg-type]
