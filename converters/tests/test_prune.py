"""`edgekit prune` as a whole: interrupted, resumed, judged; and as a step of `convert`."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.errors import ConversionError, EdgekitError, OutputError, SourceError, UsageError
from edgekit.pruning import ONE_SHOT, PLAN, TRAINING, checkpoint_of
from edgekit_converters.pruning import saved_plan
from edgekit_converters.pruning.saved_plan import SavedPlan
from edgekit_converters.pruning.verdict import latency as verdict_latency

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Which of three directions a point lies in: 600 points."""
    random = np.random.default_rng(0)
    y = np.arange(600) % 3
    x = random.normal(0, 0.5, (600, 8)) + 2 * np.eye(8)[y]
    path = tmp_path_factory.mktemp("data") / "points.npz"
    np.savez(path, x=x.astype(np.float32), y=y)
    return path


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled classifier of such points; its biases are not zero, as in one that was trained."""
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8,), name="point"),
            layers.Dense(64, "relu", bias_initializer="random_normal"),
            layers.Dense(64, "relu", bias_initializer="random_normal"),
            layers.Dense(3, activation="softmax", name="scores"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    path: Path = tmp_path_factory.mktemp("net") / "net.keras"
    model.save(path)
    return path


@pytest.fixture(autouse=True)
def _short_benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict_latency, "SECONDS", 0.2)


def weights(path: Path) -> list[Any]:
    import keras

    return list(keras.saving.load_model(path).get_weights())


def interrupted(*words: str) -> subprocess.CompletedProcess[str]:
    """The command, with Ctrl-C after the first epoch of training."""
    command = [sys.executable, "-m", "edgekit", "prune", *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        told = []
        for line in process.stderr:
            told.append(line)
            if "epoch 1/" in line:
                os.killpg(process.pid, signal.SIGINT)
        process.wait()
        return subprocess.CompletedProcess(command, process.returncode, "", "".join(told))


def test_an_interrupted_command_goes_on_and_meets_its_target(
    net: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "small.keras"
    stopped = interrupted(
        str(net), "--size", "70%", "--data", str(data), "--epochs", "40", "-o", str(out)
    )
    assert stopped.returncode == 130, stopped.stderr
    assert "the same command with --resume goes on" in stopped.stderr.splitlines()[-1]
    assert not out.exists()
    with pytest.raises(OutputError, match="add --resume"):
        edgekit.prune(net, out, size="70%", data=data, epochs=40)
    with pytest.raises(UsageError, match="holds the state of another job"):
        edgekit.prune(net, out, size="80%", data=data, epochs=40, resume=True)

    made = edgekit.prune(net, out, size="70%", data=data, epochs=40, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["small.keras"]
    assert [one.epoch for one in made.history] == list(range(len(made.history)))
    assert made.target is not None
    assert made.target.is_met
    assert made.verdict is not None
    float32 = made.verdict.pairs[0]
    assert float32.pruned is not None
    assert float32.pruned.size_bytes == made.target.reached
    assert float32.against is not None
    assert float32.latency is not None

    (file,) = edgekit.convert(out, out=tmp_path / "files")
    story = edgekit.inspect(file.path).pruned
    assert story is not None
    assert (story["target"], story["source"]["name"]) == ("size 70%", "net.keras")


def test_a_resumed_command_that_is_refused_leaves_what_was_chosen(
    net: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "small.keras"
    plan = SavedPlan(removed=np.zeros(128, bool), chosen={})
    saved_plan.save(plan, checkpoint_of(out), "of another job")
    for wrong in (data, tmp_path / "nowhere.npz"):
        with pytest.raises(EdgekitError, match=r"another job|no such file"):
            edgekit.prune(net, out, macs="50%", data=wrong, resume=True)
        assert (checkpoint_of(out) / PLAN).is_file()


def test_a_refused_command_with_force_leaves_what_an_earlier_one_trained(
    net: Path, tmp_path: Path
) -> None:
    out = tmp_path / "small.keras"
    trained = checkpoint_of(out) / "prune" / TRAINING
    trained.parent.mkdir(parents=True)
    trained.write_text("hours of work")
    with pytest.raises(EdgekitError, match="no such file"):
        edgekit.prune(net, out, macs="50%", data=tmp_path / "nowhere.npz", force=True)
    assert trained.read_text() == "hours of work"


@pytest.mark.parametrize("then", [{"qat": True}, {"macs": "60%"}], ids=str)
def test_zeros_of_an_earlier_call_are_kept(
    net: Path, data: Path, tmp_path: Path, then: dict[str, Any]
) -> None:
    sparse = tmp_path / "sparse.keras"
    edgekit.prune(net, sparse, sparsity="75%", method="unstructured", data=data, epochs=1)
    made = edgekit.prune(sparse, tmp_path / "then.keras", **then, data=data, epochs=2)
    kernels = [array for array in weights(made.path) if array.ndim == 2]
    assert [np.mean(kernel == 0) > 0.6 for kernel in kernels] == [True] * 3


def test_a_loss_of_ones_own_gets_class_numbers_as_they_are(data: Path, tmp_path: Path) -> None:
    code = (
        "import keras\n"
        "def halved(labels, scores):\n"
        "    return 0.5 * keras.losses.sparse_categorical_crossentropy(labels, scores)\n"
    )
    (tmp_path / "own.py").write_text(code)
    build = (
        f"{code}keras.utils.set_random_seed(0)\n"
        "model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(32, 'relu'),"
        " keras.layers.Dense(3, 'softmax')])\n"
        "model.compile('adam', halved)\n"
        f"model.save({str(tmp_path / 'own.keras')!r})\n"
    )
    subprocess.run([sys.executable, "-c", build], check=True, capture_output=True)
    made = edgekit.prune(
        tmp_path / "own.keras",
        tmp_path / "small.keras",
        macs="50%",
        data=data,
        epochs=3,
        custom_objects=tmp_path / "own.py",
    )
    assert made.verdict is not None
    assert made.verdict.pairs[0].pruned is not None
    assert made.history[-1].values["val_loss"] < made.history[0].values["val_loss"]


def test_test_labels_that_do_not_fit_are_refused_before_any_training(
    net: Path, data: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.npz"
    with np.load(data) as arrays:
        np.savez(wrong, x=arrays["x"] + 1, y=arrays["y"] + 1)
    with pytest.raises(EdgekitError, match=rf"--test {wrong}: labels: go from 1 to 3"):
        edgekit.prune(net, tmp_path / "small.keras", macs="50%", data=data, test=wrong, epochs=1)
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.npz"]


def test_much_more_than_was_asked_for_is_told_and_how_to_come_closer(
    net: Path, tmp_path: Path
) -> None:
    made = edgekit.prune(net, tmp_path / "small.keras", macs="90%", multiple_of=32)
    (told,) = [note for note in made.notes if "--multiple-of 1 comes closer" in note]
    assert "where 90% would have done" in told


def test_a_resumed_command_without_a_checkpoint_says_so(
    net: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "small.keras"
    command = [sys.executable, "-m", "edgekit", "prune", str(net), "--macs", "50%", "--resume"]
    done = subprocess.run(
        [*command, "--data", str(data), "--epochs", "1", "-o", str(out)],
        check=True,
        capture_output=True,
        text=True,
    )
    missing = checkpoint_of(out)
    assert f"WARNING --resume: {missing} is not there; starting from the beginning" in done.stderr


def test_a_conversion_prunes_first(net: Path, data: Path, tmp_path: Path) -> None:
    made = edgekit.convert(
        net, out=tmp_path, quantize=["float32", "int8"], calibrate=data, prune="macs=50%"
    )
    assert [artifact.precision for artifact in made] == ["float32", "int8"]
    kept = tmp_path / "net.pruned.keras"
    assert len(weights(kept)[0][0]) < 64
    compute = edgekit.inspect(made[1].path).compute
    assert compute is not None
    assert compute.multiply_adds <= 0.5 * (8 * 64 + 64 * 64 + 64 * 3)


def test_several_inputs_and_outputs_are_trained_and_judged(tmp_path: Path) -> None:
    import keras

    random = np.random.default_rng(0)
    a, b = random.normal(size=(400, 8)), random.normal(size=(400, 4))
    np.savez(
        tmp_path / "data.npz", a=a.astype("f4"), b=b.astype("f4"), y=(a.sum(1) > 0).astype(int)
    )
    layers = keras.layers
    inputs = [keras.Input((8,), name="a"), keras.Input((4,), name="b")]
    x = layers.Concatenate()([layers.Dense(32, "relu")(one) for one in inputs])
    x = layers.Dense(32, "relu")(x)
    outputs = [layers.Dense(2, "softmax", name="sign")(x), layers.Dense(1, name="other")(x)]
    model = keras.Model(inputs, outputs)
    model.compile("adam", {"sign": "sparse_categorical_crossentropy"})
    model.save(tmp_path / "two.keras")

    made = edgekit.prune(
        tmp_path / "two.keras",
        tmp_path / "small.keras",
        size="70%",
        data=tmp_path / "data.npz",
        epochs=2,
    )
    assert made.verdict is not None
    for pair in made.verdict.pairs:
        assert pair.pruned is not None
        assert pair.pruned.accuracy is not None
    assert any("only the output 'sign' is trained" in warning for warning in made.warnings)


def test_a_loss_that_is_lost_at_once_is_an_error_and_leaves_nothing(
    net: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConversionError, match=r"net.keras: prune: stopped in epoch 1: .* a lower"):
        edgekit.prune(net, tmp_path / "o.keras", macs="50%", data=data, learning_rate=1e30)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_trained_for_int8_is_refused_before_any_training(tmp_path: Path) -> None:
    import keras

    layers = keras.layers
    random = np.random.default_rng(0)
    data, source = tmp_path / "turns.npz", tmp_path / "turns.keras"
    np.savez(data, x=random.normal(size=(60, 5, 3)).astype(np.float32), y=np.arange(60) % 2)
    model = keras.Sequential([keras.Input((5, 3)), layers.LSTM(4), layers.Softmax()])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.save(source)
    with pytest.raises(SourceError, match="no layer of it can train for int8"):
        edgekit.prune(
            source,
            tmp_path / "made.keras",
            method="unstructured",
            sparsity=0.5,
            qat=True,
            data=data,
            epochs=1,
        )
    assert {path.name for path in tmp_path.iterdir()} == {"turns.npz", "turns.keras"}


def test_a_pattern_asks_for_no_share_and_tells_the_kernels_that_cannot_have_it(
    tmp_path: Path,
) -> None:
    import keras

    layers, source = keras.layers, tmp_path / "words.keras"
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Embedding(500, 16, name="words"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(4, name="scores"),
        ]
    )
    model.save(source)
    made = edgekit.prune(source, tmp_path / "made.keras", method="2:4")
    assert made.target is None
    assert made.sparsity == 0.5
    assert [one.layer for one in made.zeros] == ["scores/kernel"]
    assert [one.layer for one in made.left] == ["words/embeddings"]
    assert "along the inputs" in made.left[0].reason


def test_a_pattern_of_a_keras_2_model_counts_only_what_can_have_it(tmp_path: Path) -> None:
    tf_keras = pytest.importorskip("tf_keras")
    layers, source = tf_keras.layers, tmp_path / "old.keras"
    model = tf_keras.Sequential(
        [tf_keras.Input((8, 4)), layers.Conv1D(8, 3), layers.Flatten(), layers.Dense(8)]
    )
    model.save(source)
    made = edgekit.prune(source, tmp_path / "made.keras", method="1x4", sparsity="50%")
    assert made.target is not None
    assert made.target.is_met
    assert made.sparsity == pytest.approx(0.5, abs=0.01)
    assert len(made.zeros) == 1


def test_test_data_judge_where_nothing_is_trained(
    net: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made = edgekit.prune(net, tmp_path / "small.keras", sparsity=0.5, test=data)
    assert made.history == ()
    assert made.warnings[0] == ONE_SHOT
    assert f"WARNING {ONE_SHOT}" in capfd.readouterr().err
    assert made.verdict is not None
    assert (made.verdict.samples, made.verdict.data) == (600, str(data))
    assert all(pair.against is not None for pair in made.verdict.pairs)
    assert "int8 files are calibrated on some of the test samples" in " ".join(made.verdict.notes)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"macs": "50%"},
            "only.keras: no channel can be cut .*; try --method unstructured --spars",
        ),
        ({"macs": "50%", "skip": "Dense"}, "only.keras: no channel .*; leave out --skip, or"),
        ({"macs": "90k"}, "no channel can be cut"),
    ],
)
def test_a_model_whose_layers_are_all_outputs_says_what_can_be_done(
    tmp_path: Path, given: dict[str, Any], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    import keras

    path = tmp_path / "only.keras"
    keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)]).save(path)
    with pytest.raises(UsageError, match=said):
        edgekit.prune(path, tmp_path / "small.keras", **given)
    assert ONE_SHOT not in capfd.readouterr().err
