import json
from pathlib import Path
from typing import Any

import pytest

from edgekit import fingerprint
from edgekit.errors import OutputError, UsageError
from edgekit.prune_method import parse_method
from edgekit.prune_options import request_from
from edgekit.prune_request import PruneRequest

DATA = {"data": "train.npz"}


def asked(**given: Any) -> PruneRequest:
    return request_from("models/mnist.keras", **given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "prune: nothing to do; give --sparsity 50%"),
        ({"macs": "50%", "size": "9KB"}, "--macs and --size: several targets; give one"),
        ({"macs": 0.5, "method": "unstructured"}, "--macs with --method unstructured: zeros are"),
        ({"latency": 0.5, "method": "2:4"}, "--latency with --method 2:4: zeros are"),
        ({"sparsity": "70%", "method": "2:4"}, "--sparsity 70%: --method 2:4 makes 50 % zeros"),
        ({"method": "unstructured"}, "--method unstructured: how much is to become zero; give"),
        ({"method": "1x4"}, "--method 1x4: how much"),
        ({"macs": 0.5, "teacher": True}, "--teacher: nothing is trained; give some with --data"),
        ({"macs": 0.5, "epochs": 3}, "--epochs 3: nothing to train on; give some with --data"),
        ({"macs": 0.5, "resume": True}, "--resume: nothing is trained; give some"),
        ({"macs": 0.5, "learning_rate": 0.1}, "--learning-rate: nothing is trained"),
        ({"qat": True}, "--qat: learns the ranges of activations by training; give some"),
        ({"qat": True, "epochs": 0, **DATA}, "--qat with --epochs 0: learns by training; give 1"),
        ({"macs": 0.5, "epochs": 0, "resume": True, **DATA}, "--resume with --epochs 0: nothing"),
        ({"macs": 0.5, "epochs": -1, **DATA}, "--epochs -1: must be at least 0"),
        ({"macs": 0.5, "importance": "taylor"}, "--importance taylor: needs the gradients"),
        ({"macs": 0.5, "ratios": "sensitivity"}, "--ratios sensitivity: tries every layer"),
        ({"macs": 0.5, "data": "random"}, "--data random: random numbers have no labels"),
        ({"macs": 0.5, "test": "random:9"}, "--test random:9: random numbers have no labels"),
        ({"macs": 0.5, "preprocess": "none"}, "--preprocess none: says how data become input;"),
        ({"macs": 0.5, "scope": "global"}, "--scope global with --method structured: is about"),
        ({"macs": 0.5, "schedule": "constant", **DATA}, "--schedule constant with --method str"),
        (
            {"sparsity": 0.5, "method": "unstructured", "importance": "batch-norm"},
            "--importance batch-norm with --method unstructured: is about channels; use it with",
        ),
        ({"sparsity": 0.5, "method": "unstructured", "multiple_of": 16}, "--multiple-of 16 with"),
        ({"cluster": 8, "multiple_of": 16}, "--multiple-of 16 without a target: is about chan"),
        ({"cluster": 8, "importance": "taylor", **DATA}, "--importance taylor without a target"),
        ({"qat": True, "ratios": "sensitivity", **DATA}, "--ratios sensitivity without a targ"),
        ({"macs": 0.5, "loss": "mse"}, "--loss mse: nothing is trained; give some with --data"),
        ({"macs": 0.5, "metric": "mae"}, "--metric: nothing is trained; give some with --data"),
        ({"macs": 0.5, "batch_size": 8}, "--batch-size: nothing is trained"),
        ({"macs": 0.5, "batch_size": 8, "epochs": 0, **DATA}, "--batch-size with --epochs 0: no"),
        ({"macs": 0.5, "on": "pi4"}, "--on pi4: says where latency is measured; use it with"),
        ({"macs": 0.5, "measure": "int8"}, "--measure int8: says of which file --size"),
        ({"macs": 0.5, "temperature": 2, **DATA}, "--temperature 2: softens what a teacher says"),
        ({"macs": 0.5, "learning_rate": "fast", **DATA}, "--learning-rate fast: not a number"),
        ({"macs": 0.5, "learning_rate": float("nan"), **DATA}, "--learning-rate nan: must be"),
        ({"macs": 0.5, "batch_size": 0, **DATA}, "--batch-size 0: must be at least 1"),
        ({"macs": 0.5, "multiple_of": 2.5}, "--multiple-of 2.5: not a whole number"),
        ({"macs": 0.5, "skip": ""}, "--skip: an empty name"),
        ({"cluster": 1}, "--cluster 1: not a number of different weights from 2 to"),
        ({"cluster": 2000}, "--cluster 2000: not a number of different weights from 2 to 1024"),
        ({"macs": 0.5, "ratios": "guess"}, "--ratios guess: not known; there are: uniform, sens"),
        ({"macs": 0.5, "custom_objects": "no.py"}, "no.py: no such Python file"),
        ({"macs": 0.5, "preprocess": "blur=3", **DATA}, "blur"),
    ],
)
def test_a_request_that_makes_no_sense_says_what_to_do(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        asked(**given)


@pytest.mark.parametrize(
    "text", ["4:2", "2:2", "0:4", "2:400", "2x", "0x4", "1x1", "1x900", "dense", "2:4:8"]
)
def test_a_method_that_makes_no_sense_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=f"--method {text}: .*; "):
        parse_method(text)


def test_a_pattern_needs_no_target() -> None:
    request = asked(method="2:4")
    assert (request.prunes, request.share_of_zeros, request.target) == (True, 0.5, None)


def test_clustering_alone_is_enough() -> None:
    assert not asked(cluster=16).prunes


def test_there_is_training_with_data_and_none_without() -> None:
    assert asked(macs=0.5).epochs_to_train == 0
    assert asked(macs=0.5, **DATA).epochs_to_train == 5
    assert asked(macs=0.5, epochs=0, **DATA).epochs_to_train == 0


def test_the_target_is_told_in_words() -> None:
    assert asked(sparsity=0.5).target_text == "sparsity 50%"
    assert asked(latency="60%").target_text == "latency 0.6x"
    assert asked(size="200KB").target_text == "size 200000"


def test_the_result_lies_beside_the_caller_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert asked(macs=0.5).output() == Path("mnist.pruned.keras")


def test_a_keras_2_model_trained_for_int8_is_saved_as_h5(tmp_path: Path) -> None:
    request = asked(qat=True, out=tmp_path, **DATA)
    assert request.output("tf_keras") == tmp_path / "mnist.pruned.h5"


def test_an_output_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="small.tflite: prune makes a Keras model; give a .keras"):
        asked(macs=0.5, out=tmp_path / "small.tflite").output()
    with pytest.raises(UsageError, match="the result is saved as .keras; give a name that ends so"):
        asked(macs=0.5, out=tmp_path / "small.h5").output()


def test_an_existing_output_is_replaced_only_when_asked(tmp_path: Path) -> None:
    there = tmp_path / "small.keras"
    there.touch()
    with pytest.raises(OutputError, match="exists already; add --force"):
        asked(macs=0.5, out=there).output()
    assert asked(macs=0.5, out=there, force=True).output() == there


def test_the_source_is_never_replaced(tmp_path: Path) -> None:
    source = tmp_path / "mnist.keras"
    source.touch()
    with pytest.raises(OutputError, match="would replace its own source"):
        request_from(source, source, macs=0.5, force=True).output()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file: a file, not a folder; choose another -o"):
        asked(macs=0.5, out=tmp_path / "file" / "small.keras").output()


@pytest.mark.parametrize(
    "given",
    [
        {"macs": "12M", "skip": "head,Embedding", "multiple_of": "4"},
        {"size": "200KB", "measure": "int8"},
        {"method": "unstructured", "sparsity": "80%", "schedule": "constant", **DATA},
        {"method": "1x4", "sparsity": 0.7, "teacher": "big.keras", "temperature": 2, **DATA},
        {"qat": True, "cluster": 16, "teacher": True, "metric": "accuracy", **DATA},
    ],
)
def test_a_request_survives_the_way_to_another_process(given: dict[str, Any]) -> None:
    request = asked(out="made", **given)
    assert PruneRequest.from_plain(json.loads(json.dumps(request.to_plain()))) == request


def test_a_model_in_memory_is_left_out_on_that_way() -> None:
    assert request_from(object(), macs=0.5).to_plain()["source"] is None


def test_where_the_result_goes_does_not_matter_for_resuming() -> None:
    first = asked(macs=0.5, **DATA)
    again = asked(macs="50%", out="elsewhere", force=True, resume=True, epochs=5, **DATA)
    assert first.digest() == again.digest()


@pytest.mark.parametrize(
    "other", [{"macs": 0.4}, {"epochs": 6}, {"skip": "head"}, {"batch_size": 8}, {"data": "b.npz"}]
)
def test_what_is_made_matters_for_resuming(other: dict[str, Any]) -> None:
    given: dict[str, Any] = {"macs": 0.5, **DATA}
    assert asked(**given).digest() != asked(**(given | other)).digest()


def test_the_contents_of_the_model_matter_for_resuming(tmp_path: Path) -> None:
    source = tmp_path / "mnist.keras"
    source.write_bytes(b"one")
    first = request_from(source, macs=0.5).digest()
    source.write_bytes(b"two")
    assert request_from(source, macs=0.5).digest() != first


def test_data_made_anew_matter_for_resuming_though_they_are_as_large(tmp_path: Path) -> None:
    data = tmp_path / "train.npz"
    for text in (str(data), f"{data}:train"):
        made = set()
        for byte in (b"a", b"b"):
            data.write_bytes(byte * 100)
            made.add(asked(macs=0.5, data=text).digest())
        assert len(made) == 2, text


def test_files_in_a_folder_of_data_matter_for_resuming(tmp_path: Path) -> None:
    def digest() -> str:
        return asked(macs=0.5, data=str(tmp_path)).digest()

    made = [digest()]
    (tmp_path / "cat").mkdir()
    for name, content in (("1.png", b"one"), ("2.png", b"two"), ("2.png", b"owt")):
        (tmp_path / "cat" / name).write_bytes(content)
        made.append(digest())
    (tmp_path / "cat" / "2.png").rename(tmp_path / "cat" / "3.png")
    made.append(digest())
    assert len(set(made)) == 5


def test_what_a_file_of_layers_or_a_function_says_matters_for_resuming(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, made = tmp_path / "mine.py", set()
    for number in (1, 2):
        code.write_text(f"factor = {number}\n")
        made.add(asked(macs=0.5, custom_objects="mine.py").digest())
        made.add(asked(macs=0.5, data="mine:samples").digest())
    assert len(made) == 4


def test_a_file_too_large_to_be_read_matters_at_both_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "_WHOLE", 1000)
    monkeypatch.setattr(fingerprint, "_PART", 10)
    monkeypatch.setattr(fingerprint, "_PARTS", 4)
    data, made = tmp_path / "train.npz", set()
    for place in (None, 0, 4999):
        content = bytearray(5000)
        if place is not None:
            content[place] = 1
        data.write_bytes(content)
        made.add(asked(macs=0.5, data=str(data)).digest())
    assert len(made) == 3


def test_messages_have_the_target_as_it_was_written() -> None:
    assert asked(size="200KB").target_asked == "--size 200KB"
    assert asked(macs=0.25).target_asked == "--macs 0.25"
    assert asked(latency="60%").target_asked == "--latency 0.6x"


@pytest.mark.parametrize("goal", [{"size": "1B"}, {"macs": "1.5k"}, {"macs": "50%"}])
def test_a_goal_reaches_the_child_process_as_it_is(goal: dict[str, Any]) -> None:
    request = asked(**goal)
    again = PruneRequest.from_plain(json.loads(json.dumps(request.to_plain())))
    assert (again.size, again.macs) == (request.size, request.macs)
