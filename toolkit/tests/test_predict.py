from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import DataError, UsageError, VerificationError
from edgekit.predict import Question, choose_output, predict
from edgekit.sessions import open_session

Build = Callable[..., Path]
WEIGHTS = np.array([[1.0, -1.0, 0.5], [0.5, 1.0, -1.0]], np.float32)
ROWS = np.random.default_rng(0).normal(size=(150, 2)).astype(np.float32)
SCORES = ROWS @ WEIGHTS


def ask(path: Path, *, is_first: bool = True, **question: Any) -> tuple[dict[str, Any], Any]:
    out = path.with_suffix(".out.npz")
    with open_session(path) as session:
        facts = predict(
            session,
            Question(**question),
            at_once=1,
            out=out,
            first=path.parent / "first.npy",
            is_first=is_first,
        )
    with np.load(out) as archive:
        return facts, {name: archive[name] for name in archive.files}


@pytest.fixture
def data(tmp_path: Path) -> Callable[..., str]:
    def save(**arrays: Any) -> str:
        np.savez(tmp_path / "data.npz", **arrays)
        return str(tmp_path / "data.npz")

    return save


def test_classes_are_kept_as_numbers_and_ranks(tiny_tflite: Build, data: Any) -> None:
    labels = np.arange(150) % 3
    facts, kept = ask(tiny_tflite(), data=data(x=ROWS, y=labels))
    assert facts["kind"] == "classes"
    assert facts["samples"] == 150
    np.testing.assert_array_equal(kept["predicted"], SCORES.argmax(axis=1))
    order = np.argsort(-SCORES, axis=1, kind="stable")
    np.testing.assert_array_equal(kept["rank"], (order == labels[:, None]).argmax(axis=1))


def test_equal_scores_are_ranked_as_argmax_does(tiny_tflite: Build, data: Any) -> None:
    path = tiny_tflite(weights=np.zeros((2, 3), np.float32))
    _, kept = ask(path, data=data(x=ROWS[:3], y=np.array([0, 1, 2])))
    assert kept["predicted"].tolist() == [0, 0, 0]
    assert kept["rank"].tolist() == [0, 1, 2]


def test_a_row_with_nan_is_wrong_and_told(tiny_tflite: Build, data: Any) -> None:
    weights = np.array([[np.nan, 0, 0], [0, 0, 1]], np.float32)
    facts, kept = ask(tiny_tflite(weights=weights), data=data(x=ROWS, y=np.zeros(150, int)))
    assert facts["nan_rows"] == 150
    assert (kept["rank"] > 0).all()
    assert (kept["predicted"] == -1).all()


def test_one_score_is_kept_as_it_is(tiny_tflite: Build, data: Any) -> None:
    facts, kept = ask(tiny_tflite(weights=WEIGHTS[:, :1]), data=data(x=ROWS, y=np.arange(150) % 2))
    assert facts["kind"] == "binary"
    np.testing.assert_allclose(kept["score"], SCORES[:, 0], rtol=1e-5, atol=1e-6)


def test_numbers_are_kept_as_errors(tiny_tflite: Build, data: Any) -> None:
    wanted = SCORES + 0.5
    facts, kept = ask(tiny_tflite(), data=data(x=ROWS, y=wanted))
    assert facts["kind"] == "values"
    np.testing.assert_allclose(kept["absolute"], 0.5, rtol=1e-5)
    np.testing.assert_allclose(kept["squared"], 0.25, rtol=1e-5)


def test_later_files_are_compared_with_the_numbers_of_the_first(
    tiny_tflite: Build, data: Any
) -> None:
    text = data(x=ROWS, y=SCORES + 0.5)
    ask(tiny_tflite(), data=text)
    _, kept = ask(tiny_tflite("b.tflite", weights=WEIGHTS * 1.1), data=text, is_first=False)
    np.testing.assert_allclose(kept["gap"], np.square(SCORES * 0.1).mean(axis=1), rtol=1e-3)
    np.testing.assert_allclose(kept["size"], np.square(SCORES).mean(axis=1), rtol=1e-3)


def test_other_numbers_than_the_first_file_gives_are_refused(tiny_tflite: Build, data: Any) -> None:
    ask(tiny_tflite(), data=data(x=ROWS, y=SCORES))
    narrow = tiny_tflite("b.tflite", weights=WEIGHTS[:, :2])
    with pytest.raises(VerificationError, match="the first file gives 3"):
        ask(narrow, data=data(x=ROWS, y=SCORES[:, :2]), is_first=False)


def test_preprocessing_is_applied_and_told(tiny_tflite: Build, data: Any) -> None:
    text = data(x=(ROWS * 100).astype(np.float32), y=np.arange(150) % 3)
    facts, kept = ask(tiny_tflite(), data=text, preprocess=("scale=1/100",))
    np.testing.assert_array_equal(kept["predicted"], SCORES.argmax(axis=1))
    assert facts["preprocess"] == {"image": "scale=1/100"}


@pytest.mark.parametrize("steps", ["scale=1/255", "0..1"])
def test_data_that_was_scaled_already_is_told(tiny_tflite: Build, data: Any, steps: str) -> None:
    text = data(x=np.random.default_rng(0).random((150, 2), np.float32), y=np.arange(150) % 3)
    facts, _ = ask(tiny_tflite(), data=text, preprocess=(steps,))
    assert "scaled already" in facts["warnings"][0]
    text = data(x=np.abs(ROWS * 100), y=np.arange(150) % 3)
    facts, _ = ask(tiny_tflite(), data=text, preprocess=(steps,))
    assert facts["warnings"] == []


def test_stored_preprocessing_fits_a_single_input_of_another_name(
    tiny_tflite: Build, data: Any
) -> None:
    from edgekit.preprocess import Preprocess

    stored = {"input_1": Preprocess.parse("scale=1/100").to_dict()}
    facts, _ = ask(tiny_tflite(), data=data(x=ROWS, y=np.arange(150) % 3), stored=stored)
    assert list(facts["preprocess"]) == ["image"]


def test_a_limit_takes_every_class_its_share_and_always_the_same(
    tiny_tflite: Build, data: Any
) -> None:
    text = data(x=ROWS, y=np.arange(150) % 3)
    facts, kept = ask(tiny_tflite(), data=text, limit=30)
    again = ask(tiny_tflite(), data=text, limit=30)[1]
    assert (facts["samples"], facts["available"]) == (30, 150)
    np.testing.assert_array_equal(kept["rank"], again["rank"])


def test_without_labels_only_predictions_are_kept(tiny_tflite: Build, data: Any) -> None:
    facts, kept = ask(tiny_tflite(), data=data(x=ROWS))
    assert facts["labels_sha256"] is None
    assert list(kept) == ["predicted"]


def test_labels_of_another_width_are_refused(tiny_tflite: Build, data: Any) -> None:
    with pytest.raises(DataError, match="2 numbers for each sample"):
        ask(tiny_tflite(), data=data(x=ROWS, y=SCORES[:, :2]))


def test_files_with_a_fixed_batch_are_fed_that_batch(tiny_tflite: Build, data: Any) -> None:
    facts, kept = ask(tiny_tflite(batch=4), data=data(x=ROWS, y=np.arange(150) % 3))
    assert facts["samples"] == 150
    np.testing.assert_array_equal(kept["predicted"], SCORES.argmax(axis=1))


def test_several_outputs_need_a_choice() -> None:
    with pytest.raises(UsageError, match="choose one of: boxes, scores"):
        choose_output(["boxes", "scores"], None, set())
    assert choose_output(["boxes", "scores"], "scores", set()) == "scores"
    assert choose_output(["boxes", "scores"], None, {"boxes"}) == "scores"
    with pytest.raises(UsageError, match="--output x: no such output; there are: boxes, scores"):
        choose_output(["boxes", "scores"], "x", set())


def test_a_wrong_output_is_refused_where_there_is_only_one() -> None:
    with pytest.raises(UsageError, match="--output nope: no such output; there are: dense"):
        choose_output(["dense"], "nope", set())
