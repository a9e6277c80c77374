import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.errors import ConversionError, OutputError, SourceError
from edgekit_converters.tflite_graph import IDENTIFIER, read_model, schema, text
from edgekit_converters.tflite_manifest import embed


def _metadata(path: Path) -> dict[str, bytes]:
    model = schema().ModelT.InitFromPackedBuf(path.read_bytes())
    return {text(m.name): bytes(model.buffers[m.buffer].data) for m in model.metadata or []}


def test_the_manifest_is_read_back_byte_for_byte(classifier: Path, tmp_path: Path) -> None:
    embed(classifier, tmp_path / "out.tflite", b'{"version": 1}')
    assert _metadata(tmp_path / "out.tflite") == {"edgekit.manifest": b'{"version": 1}'}


def test_an_embedded_file_computes_what_it_did(
    classifier: Path, tmp_path: Path, images: Any, run_tflite: Any
) -> None:
    out = tmp_path / "out.tflite"
    embed(classifier, out, b"{}")
    assert np.array_equal(
        run_tflite(out, images)["scores"], run_tflite(classifier, images)["scores"]
    )


def test_a_second_manifest_replaces_the_first(classifier: Path, tmp_path: Path) -> None:
    once, twice = tmp_path / "once.tflite", tmp_path / "twice.tflite"
    embed(classifier, once, b"new")
    embed(classifier, twice, b"old, and longer")
    embed(twice, twice, b"new")
    assert twice.read_bytes() == once.read_bytes()


def test_the_same_manifest_gives_the_same_bytes(classifier: Path, tmp_path: Path) -> None:
    embed(classifier, tmp_path / "a.tflite", b"{}")
    embed(classifier, tmp_path / "b.tflite", b"{}")
    assert (tmp_path / "a.tflite").read_bytes() == (tmp_path / "b.tflite").read_bytes()


def test_other_metadata_and_signatures_stay(classifier: Path, tmp_path: Path) -> None:
    fb = schema()
    model = read_model(classifier)
    for name, value in ((b"min_runtime_version", b"1.6.0"), (b"edgekit.manifest", b"foreign")):
        buffer, entry = fb.BufferT(), fb.MetadataT()
        buffer.data = np.frombuffer(value, np.uint8)
        model.buffers.append(buffer)
        entry.name, entry.buffer = name, len(model.buffers) - 1
        model.metadata = [*(model.metadata or []), entry]
    classifier.write_bytes(_packed(model))
    out = tmp_path / "out.tflite"
    embed(classifier, out, b"mine")
    assert _metadata(out) == {"min_runtime_version": b"1.6.0", "edgekit.manifest": b"mine"}
    (signature,) = read_model(out).signatureDefs
    assert text(signature.signatureKey) == "serving_default"
    assert text(signature.inputs[0].name) == "image"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(manifest=st.binary(max_size=200))
def test_weights_keep_their_alignment_for_any_manifest(
    classifier: Path, tmp_path: Path, manifest: bytes
) -> None:
    out = tmp_path / "out.tflite"
    embed(classifier, out, manifest)
    content = out.read_bytes()
    model = schema().Model.GetRootAs(content, 0)
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        if buffer.DataLength() > 1:
            values = buffer.DataAsNumpy()
            start = values.__array_interface__["data"][0]
            base = np.frombuffer(content, np.uint8).__array_interface__["data"][0]
            assert (start - base) % 16 == 0


def test_a_file_with_weights_behind_its_tables_is_refused(classifier: Path, tmp_path: Path) -> None:
    from ai_edge_litert.tools import flatbuffer_utils

    model = read_model(classifier)
    model.buffers[1].data, model.buffers[1].offset, model.buffers[1].size = None, 4096, 16
    classifier.write_bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    with pytest.raises(ConversionError, match="behind its tables.*; convert it again"):
        embed(classifier, tmp_path / "out.tflite", b"{}")


@pytest.mark.parametrize("content", [b"", b"TFL3", b"not a model at all, but long enough to read"])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.tflite"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"x\.tflite: not a TFLite file; "):
        embed(path, tmp_path / "out.tflite", b"{}")
    assert not (tmp_path / "out.tflite").exists()


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        embed(tmp_path / "nothing.tflite", tmp_path / "out.tflite", b"{}")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(data=st.data())
def test_damage_is_an_error_and_never_a_crash(
    classifier: Path, tmp_path: Path, data: st.DataObject
) -> None:
    content = bytearray(classifier.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, 300))] = data.draw(st.integers(0, 255))
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        embed(damaged, tmp_path / "out.tflite", b"{}")
    except (SourceError, ConversionError):
        return
    assert (tmp_path / "out.tflite").read_bytes()[4:8] == IDENTIFIER


def test_an_unwritable_place_leaves_nothing_behind(classifier: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        embed(classifier, tmp_path / "no folder" / "out.tflite", b"{}")


def test_a_large_file_takes_little_memory(tiny_graph: Any, tmp_path: Path) -> None:
    graph = tiny_graph()
    x = graph.input("x", (1, 4000))
    weights = graph.constant(np.zeros((5000, 4000), np.float32))
    large = tmp_path / "large.tflite"
    graph.save(large, y=graph.add("FULLY_CONNECTED", [x, weights, -1], (1, 5000)))
    assert large.stat().st_size > 80_000_000
    code = (
        "import re, sys; from pathlib import Path\n"
        "from edgekit_converters.tflite_manifest import embed\n"
        "embed(Path(sys.argv[1]), Path(sys.argv[2]), b'{}')\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])"
    )
    command = [sys.executable, "-c", code, str(large), str(tmp_path / "out.tflite")]
    peak_kib = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert (tmp_path / "out.tflite").stat().st_size > 80_000_000
    assert peak_kib < 130_000  # mapped pages of the file count, and the kernel may drop them


def _packed(model: Any) -> bytes:
    from edgekit_converters.tflite_graph import write_model

    return write_model(model)
