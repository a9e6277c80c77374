import base64
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgekit import golden
from edgekit.errors import SourceError, VerificationError
from edgekit.golden_array import PackedArray, exact, in_steps, on_lattice
from edgekit.golden_record import record
from edgekit.sessions import Session, open_session

Build = Callable[..., Path]
SAMPLES = {"image": np.random.default_rng(0).normal(size=(8, 1, 2)).astype(np.float32)}


def through_json(packed: PackedArray) -> PackedArray:
    return PackedArray.from_dict(json.loads(json.dumps(packed.to_dict())))


# ---- arrays -----------------------------------------------------------------------------------


@given(arrays.arrays(st.sampled_from([np.int8, np.int32, np.int64, np.uint16, bool]), (3, 4)))
def test_integers_come_out_as_they_went_in(values: Any) -> None:
    out = through_json(exact(values)).values()
    assert out.dtype == values.dtype
    np.testing.assert_array_equal(out, values)


@given(arrays.arrays(np.float32, (5,), elements=st.floats(-1e6, 1e6, width=32)))
def test_real_numbers_come_out_within_half_a_step(values: Any) -> None:
    packed = through_json(in_steps(values))
    reach = max(values.max(), 0) - min(values.min(), 0)
    assert packed.values().dtype == np.float32
    assert np.abs(packed.values() - values).max() <= reach / 255 * 0.51 + 1e-30


def test_zero_stays_exactly_zero() -> None:
    values = np.array([0.0, -0.337, 1.71, 0.0], np.float32)
    out = in_steps(values).values()
    assert out[0] == out[3] == 0.0


def test_what_was_coded_once_is_coded_the_same_again() -> None:
    values = np.random.default_rng(0).normal(size=(9, 9)).astype(np.float32)
    once = in_steps(values).values()
    np.testing.assert_array_equal(through_json(in_steps(values)).values(), once)


def test_values_on_a_lattice_are_exact() -> None:
    codes = np.arange(-128, 128, dtype=np.int8)
    values = (codes.astype(np.float32) - np.float32(-5)) * np.float32(0.1)
    packed = through_json(on_lattice(values, float(np.float32(0.1)), -5, "int8"))
    np.testing.assert_array_equal(packed.values(), values)


WELL = exact(np.arange(6, dtype=np.float32).reshape(2, 3)).to_dict()


@pytest.mark.parametrize(
    "changes",
    [
        {"dtype": "object"},
        {"dtype": "S4"},
        {"dtype": ["<f4"]},
        {"stored": "O"},
        {"shape": [2, -3]},
        {"shape": [0]},
        {"shape": [2.0, 3]},
        {"shape": [True, 6]},
        {"shape": [1 << 20, 1 << 20]},
        {"shape": [1] * 17},
        {"shape": None},
        {"scale": 0.0},
        {"scale": float("nan")},
        {"scale": 1e300},
        {"scale": "1"},
        {"scale": 0.1, "zero_point": 1 << 40},
        {"data": 7},
    ],
)
def test_a_damaged_array_is_refused_before_it_is_unpacked(changes: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        PackedArray.from_dict(WELL | changes)


def coded(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content)).decode()


@pytest.mark.parametrize(
    "data",
    [
        "",
        "!!!!",
        "é",
        base64.b64encode(b"not zlib").decode(),
        coded(bytes(23)),
        coded(bytes(25)),
        coded(bytes(1 << 24)),
        coded(bytes(24))[:-8],
    ],
)
def test_data_of_another_length_is_refused(data: str) -> None:
    packed = PackedArray.from_dict(WELL | {"data": data})
    with pytest.raises(ValueError, match="."):
        packed.values()


def test_a_coarse_input_is_spread_to_its_shape() -> None:
    spread = golden.spread(np.array([[1, 2], [3, 4]]), (3, 5), (2, 3))
    assert spread.tolist() == [[1, 1, 1, 2, 2], [1, 1, 1, 2, 2], [3, 3, 3, 4, 4]]


# ---- the manifest, which is not trusted ---------------------------------------------------------


def one_case(**changes: Any) -> dict[str, Any]:
    stored = {
        "made_with": "ai-edge-litert 2.3.0",
        "tolerances": {"scores": 0.01},
        "cases": [
            {
                "inputs": {"image": exact(np.ones((1, 2), np.float32)).to_dict()},
                "outputs": {"scores": exact(np.ones(3, np.float32)).to_dict() | {"of": [1, 3]}},
            }
        ],
    }
    return {"golden": stored | changes}


def test_a_manifest_without_cases_has_none() -> None:
    assert golden.cases({}, "m.tflite") == ()


def test_cases_are_read() -> None:
    (case,) = golden.cases(one_case(), "m.tflite")
    assert case.inputs["image"].values().tolist() == [[1.0, 1.0]]
    assert case.outputs["scores"].tolerance == 0.01


CASE = one_case()["golden"]["cases"][0]


def with_input(**changes: Any) -> list[Any]:
    return [CASE | {"inputs": {"image": CASE["inputs"]["image"] | changes}}]


def with_output(**changes: Any) -> list[Any]:
    return [CASE | {"outputs": {"scores": CASE["outputs"]["scores"] | changes}}]


@pytest.mark.parametrize(
    "changes",
    [
        {"cases": None},
        {"cases": [None]},
        {"cases": [CASE] * 17},
        {"cases": [CASE | {"inputs": []}]},
        {"cases": [CASE | {"inputs": {str(n): CASE["inputs"]["image"] for n in range(2000)}}]},
        {"tolerances": []},
        {"tolerances": {"scores": -1}},
        {"tolerances": {"scores": "0.1"}},
        {"tolerances": {"scores": float("nan")}},
        {"tolerances": {"scores": float("inf")}},
        {"cases": with_input(of=[1, 5])},
        {"cases": with_input(of=[1, 3], every=[1, 2, 1])},
        {"cases": with_input(of=[1, 4], every=[1, 0])},
        {"cases": with_input(of=[1 << 13, 1 << 13], every=[1 << 13, 1 << 12])},
        {"cases": with_input(of=[1 << 40, 2], every=[1 << 40, 1])},
        {"cases": with_output(of=[1, 4])},
        {"cases": with_output(of=[1, 6], stride=0)},
        {"cases": with_output(of=[1, 7], stride=2.0)},
        {"cases": with_output(of=[-1, -3])},
        {"cases": with_output(of=None)},
    ],
)
def test_damaged_cases_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SourceError, match=r"m\.tflite: its edgekit manifest is damaged \("):
        golden.cases(one_case(**changes), "m.tflite")


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@settings(max_examples=300)
@given(where=st.lists(st.integers(0, 9), max_size=6), value=json_like)
def test_whatever_stands_in_a_manifest_ends_in_one_error(where: list[int], value: Any) -> None:
    stored: Any = json.loads(json.dumps(one_case()))
    parent, key, inner = stored, "golden", stored["golden"]
    for step in where:
        if isinstance(inner, dict) and inner:
            parent, key = inner, sorted(inner)[step % len(inner)]
        elif isinstance(inner, list) and inner:
            parent, key = inner, step % len(inner)  # type: ignore[assignment]
        else:
            break
        inner = parent[key]
    parent[key] = value
    try:
        found = golden.cases(stored, "m.tflite")
    except SourceError:
        return
    for case in found:
        assert all(one.packed.elements <= 1 << 24 for one in case.inputs.values())
        assert all(one.packed.elements <= 1 << 24 for one in case.outputs.values())


# ---- recording, and the test itself -------------------------------------------------------------


@pytest.fixture(params=["tflite", "onnx"])
def tiny(request: Any) -> Build:
    build: Build = request.getfixturevalue(f"tiny_{request.param}")
    return build


def recorded(path: Path, **options: Any) -> dict[str, Any]:
    made = record(path, options.pop("samples", SAMPLES), options.pop("precision", "float32"))
    assert made is not None
    return dict(json.loads(json.dumps(made)))


def run_cases(path: Path, stored: dict[str, Any]) -> int:
    with open_session(path) as session:
        session.manifest = {"golden": stored}
        return golden.self_test(session, "m.tflite")


def test_a_file_passes_its_own_test(tiny: Build) -> None:
    path = tiny()
    assert run_cases(path, recorded(path)) == 3


def test_a_quantized_file_passes_its_own_test(tiny: Build) -> None:
    path = tiny(io="int8")
    stored = recorded(path, precision="int8")
    assert run_cases(path, stored) == 3
    assert stored["tolerances"]["scores"] >= 0.3  # three steps of its output


def test_recording_twice_gives_the_same(tiny: Build) -> None:
    path = tiny()
    assert recorded(path) == recorded(path)


def test_a_file_without_cases_runs_none(tiny: Build) -> None:
    with open_session(tiny()) as session:
        assert golden.self_test(session, "m.tflite") == 0


def test_other_weights_are_refused(tiny_tflite: Build) -> None:
    path = tiny_tflite()
    stored = recorded(path)
    other = np.array([[1.0, -1.0, 0.5], [0.5, 1.0, -1.001]], np.float32)
    path = tiny_tflite(weights=other)
    with pytest.raises(VerificationError) as told:
        run_cases(path, stored)
    assert (
        "gives other results on this device than where it was made: output 'scores' off by 0.00"
        in str(told.value)
    )
    assert f"it was made with {stored['made_with']}: use that version" in str(told.value)


def test_not_a_number_is_refused(tiny_tflite: Build) -> None:
    path = tiny_tflite()
    stored = recorded(path)
    path = tiny_tflite(weights=np.full((2, 3), np.nan, np.float32))
    with pytest.raises(VerificationError, match="output 'scores' off by inf"):
        run_cases(path, stored)


def test_cases_for_another_model_are_refused(tiny: Build) -> None:
    path = tiny()
    stored = recorded(path)
    stored["cases"][0]["inputs"]["picture"] = stored["cases"][0]["inputs"].pop("image")
    with pytest.raises(SourceError, match="golden cases: they are for another model"):
        run_cases(path, stored)


def test_cases_of_another_shape_are_refused(tiny: Build) -> None:
    path = tiny(batch=1)
    stored = recorded(path)
    stored["cases"][0]["inputs"]["image"]["shape"] = [2, 1]
    with pytest.raises(SourceError, match="golden cases: they are for another model"):
        run_cases(path, stored)


def test_damaged_numbers_are_refused(tiny: Build) -> None:
    path = tiny()
    stored = recorded(path)
    stored["cases"][1]["inputs"]["image"]["data"] = "AAAA"
    with pytest.raises(SourceError, match="its edgekit manifest is damaged"):
        run_cases(path, stored)


def test_a_sample_that_is_not_finite_is_no_case(tiny: Build) -> None:
    path = tiny()
    samples = SAMPLES["image"].copy()
    samples[0], samples[7] = np.nan, np.inf
    assert run_cases(path, recorded(path, samples={"image": samples})) == 3
    samples[:] = np.nan
    assert record(path, {"image": samples}, "float32") is None


def test_one_sample_makes_one_case(tiny: Build) -> None:
    path = tiny()
    assert run_cases(path, recorded(path, samples={"image": SAMPLES["image"][:1]})) == 1


def test_a_single_input_needs_no_name(tiny: Build) -> None:
    path = tiny()
    assert recorded(path, samples={"x": SAMPLES["image"]}) == recorded(path)


def test_large_inputs_are_stored_coarsely(tiny_tflite: Build) -> None:
    wide = np.random.default_rng(3).normal(size=(20_000, 3)).astype(np.float32) / 100
    path = tiny_tflite(weights=wide)
    samples = np.random.default_rng(1).normal(size=(4, 1, 20_000)).astype(np.float32)
    stored = recorded(path, samples={"image": samples})
    assert stored["cases"][0]["inputs"]["image"]["of"] == [1, 20_000]
    assert len(json.dumps(stored)) < 4096
    assert run_cases(path, stored) == 3


def test_large_outputs_are_stored_in_part(tiny_tflite: Build) -> None:
    wide = np.random.default_rng(3).normal(size=(2, 3000)).astype(np.float32)
    path = tiny_tflite(weights=wide)
    stored = recorded(path)
    assert stored["cases"][0]["outputs"]["scores"]["stride"] > 2
    assert len(json.dumps(stored)) < 4096
    assert run_cases(path, stored) == 3
    wide[:, 5] += 100  # the first stride is not hit, the change of all others is
    wide += 0.01
    with pytest.raises(VerificationError, match="output 'scores' off by"):
        run_cases(tiny_tflite(weights=wide), stored)


def test_variables_do_not_leak_from_case_to_case(tiny: Build) -> None:
    class Forgetful:
        """A session that counts how often its variables are reset."""

        def __init__(self, inner: Session) -> None:
            self.inner, self.resets = inner, 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def reset_variables(self) -> None:
            self.resets += 1

    path = tiny()
    with open_session(path) as session:
        session.manifest = {"golden": recorded(path)}
        forgetful: Any = Forgetful(session)
        golden.self_test(forgetful, "m")
    assert forgetful.resets == 6
