"""Every example is run as it stands, as a process of its own, on files that edgekit made."""

import configparser
import csv
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import wave
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import edgekit
from edgekit import demo, signing

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
UNIT = EXAMPLES / "edgekit-camera.service"
TONES = Path(__file__).with_name("make_tones.py")
CLASSES = demo.LABELS.read_text(encoding="utf-8").split("\n")[:10]


def run(
    name: str,
    *arguments: object,
    stdin: bytes | None = None,
    cwd: Path | None = None,
    path: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run an example, with warnings as errors, and `path` among the places of modules."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *map(str, arguments)],
        input=stdin,
        cwd=cwd,
        env=os.environ | ({"PYTHONPATH": str(path)} if path else {}),
        capture_output=True,
        timeout=120,
        check=False,
    )
    told = done.stderr.decode().splitlines(keepends=True)
    own = "".join(line for line in told if not line.startswith("INFO: "))  # LiteRT says hello
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), own)


@pytest.fixture(scope="session")
def fashion(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The bundled classifier as TFLite, by precision."""
    if find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed, so no model can be converted")
    made = edgekit.convert(
        demo.MODEL,
        to=["tflite"],
        quantize=["float32", "int8"],
        calibrate=f"{demo.DATA}:calibrate",
        preprocess=demo.PREPROCESS,
        labels=CLASSES,
        out=tmp_path_factory.mktemp("fashion"),
    )
    return {artifact.precision: artifact.path for artifact in made}


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve test images as files, each named after what is in it."""
    folder = tmp_path_factory.mktemp("photos")
    with np.load(demo.DATA) as data:
        for number, (image, label) in enumerate(
            zip(data["x_test"][:12], data["y_test"][:12], strict=True)
        ):
            name = CLASSES[label].replace("/", "-").replace(" ", "-")
            Image.fromarray(image[..., 0]).save(folder / f"{number:02}-{name}.png")
    return folder


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A listener for a low and a high tone, as int8 TFLite."""
    if find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed, so no model can be trained")
    folder = tmp_path_factory.mktemp("tones")
    done = subprocess.run(
        [sys.executable, str(TONES), str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    made = edgekit.convert(
        folder / "tones.keras",
        quantize="int8",
        calibrate=str(folder / "tones.npz"),
        labels=list(makes_tones().LABELS),
        out=folder,
    )
    return made[0].path


def makes_tones() -> Any:
    spec = spec_from_file_location("make_tones", TONES)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of background, two low, two background, two high, one background; 16 bits."""
    of = makes_tones()
    said = (("background", 2), ("low", 2), ("background", 2), ("high", 2), ("background", 1))
    parts = [of.sound(label, seconds * of.RATE_HZ, 7) for label, seconds in said]
    path = tmp_path_factory.mktemp("sounds") / "recording.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, of.RATE_HZ, 0, "NONE", ""))
        file.writeframes((np.concatenate(parts) * 32767).astype("<i2").tobytes())
    return path


# ---- classify_folder.py ------------------------------------------------------


@pytest.mark.slow
def test_a_folder_is_classified_into_a_table(fashion: dict[str, Path], photos: Path) -> None:
    done = run("classify_folder.py", fashion["int8"], photos)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == sorted(path.name for path in photos.iterdir())
    right = [
        line.split("%")[1].strip().replace("/", "-").replace(" ", "-") in line.split()[0]
        for line in lines
    ]
    assert sum(right) >= 10


@pytest.mark.slow
def test_a_folder_is_classified_into_a_csv_file(
    fashion: dict[str, Path], photos: Path, tmp_path: Path
) -> None:
    done = run("classify_folder.py", fashion["int8"], photos, "--csv", tmp_path / "made.csv")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with (tmp_path / "made.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    with edgekit.load(fashion["int8"]) as model:
        best = model.classify(photos / rows[3]["image"], top=1)[0]
    assert (rows[3]["label"], float(rows[3]["score"])) == (best.label, best.score)


@pytest.mark.slow
def test_a_damaged_image_in_a_folder_is_told_and_the_rest_goes_on(
    fashion: dict[str, Path], photos: Path, tmp_path: Path
) -> None:
    shutil.copytree(photos, tmp_path / "some")
    (tmp_path / "some" / "05-broken.png").write_bytes(b"no image")
    done = run("classify_folder.py", fashion["int8"], tmp_path / "some")
    assert done.returncode == 1
    assert "05-broken.png" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stdout.splitlines()) == 12


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("camera.py", ["m", "--images", "nope"], "--images nope: no such folder"),
        ("camera.py", ["m", "--video", "nope"], "--video nope: no such file"),
        (
            "classify_folder.py",
            ["m", ".", "--csv", "no/made.csv"],
            "--csv no/made.csv: is a folder",
        ),
        ("keyword_stream.py", ["m", "s.wav", "--smooth", "0"], "--smooth takes 1 or more"),
    ],
)
def test_a_wrong_argument_is_one_line(
    tmp_path: Path, name: str, arguments: list[str], told: str
) -> None:
    done = run(name, *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_video_that_is_none_is_one_line(fashion: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "clip.gif").write_bytes(b"no video")
    done = run("camera.py", fashion["int8"], "--video", tmp_path / "clip.gif")
    assert done.returncode == 1
    assert done.stderr.startswith("error: --video ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("model", [None, "", "missing.tflite", "bad.tflite"])
def test_a_server_without_a_model_is_one_line(tmp_path: Path, model: str | None) -> None:
    for name in ("fastapi", "uvicorn"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    (tmp_path / "bad.tflite").write_bytes(b"no model")
    left = {name: value for name, value in os.environ.items() if name != "MODEL"}
    done = subprocess.run(
        [sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLES), "serve:app", "--port", "0"],
        cwd=tmp_path,
        env=left | ({} if model is None else {"MODEL": model}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: MODEL: ")
    assert len(done.stderr.splitlines()) == 1


# ---- camera.py ---------------------------------------------------------------

_LINE = re.compile(r" *[\d.]+ frames/s +[\d.]+%  (.+)")


@pytest.mark.slow
def test_a_camera_loop_prints_a_label_and_a_rate_for_each_frame(
    fashion: dict[str, Path], photos: Path
) -> None:
    done = run("camera.py", fashion["int8"], "--images", photos)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 12
    for line in lines:
        found = _LINE.fullmatch(line)
        assert found is not None
        assert found[1] in CLASSES


@pytest.mark.slow
def test_a_camera_loop_takes_a_video_and_stops_after_some_frames(
    fashion: dict[str, Path], photos: Path, tmp_path: Path
) -> None:
    frames = [Image.open(path) for path in sorted(photos.iterdir())]
    frames[0].save(tmp_path / "clip.gif", save_all=True, append_images=frames[1:])
    done = run("camera.py", fashion["int8"], "--video", tmp_path / "clip.gif", "--frames", 7)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 7
    for frame in frames:
        frame.close()


@pytest.mark.slow
def test_without_a_camera_the_loop_says_what_to_do(fashion: dict[str, Path]) -> None:
    if find_spec("picamera2") or find_spec("cv2"):
        pytest.skip("there may be a camera here")
    done = run("camera.py", fashion["int8"], "--frames", 1)
    assert done.returncode == 1
    assert done.stderr == (
        "error: camera: neither picamera2 nor OpenCV is installed; try --images FOLDER\n"
    )


_FAKES = {
    "picamera2.py": """
import numpy as np

class Picamera2:
    def __enter__(self): return self
    def __exit__(self, *_): print("closed")
    def create_video_configuration(self, main): return main
    def configure(self, main): assert main["format"] == "BGR888"
    def start(self): pass
    def capture_array(self): return np.zeros((480, 640, 3), np.uint8)
""",
    "cv2.py": """
import numpy as np

CAP_PROP_BUFFERSIZE = 38

class VideoCapture:
    def __init__(self, number): assert number == 0
    def set(self, name, value): pass
    def read(self): return True, np.zeros((480, 640, 3), np.uint8)
    def release(self): print("closed")
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("module", list(_FAKES))
def test_frames_come_from_the_camera_that_there_is(
    fashion: dict[str, Path], tmp_path: Path, module: str
) -> None:
    """There is no camera where tests run: a module of its name gives black frames."""
    (tmp_path / module).write_text(_FAKES[module], encoding="utf-8")
    done = run("camera.py", fashion["int8"], "--frames", 3, path=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line for line in done.stdout.splitlines() if line != "closed"]
    assert len(lines) == 3
    assert all(map(_LINE.fullmatch, lines))


# ---- keyword_stream.py -------------------------------------------------------


def heard(output: str) -> list[tuple[float, str]]:
    found = [re.fullmatch(r" *([\d.]+) s +[\d.]+%  (\w+)", line) for line in output.splitlines()]
    return [(float(match[1]), match[2]) for match in found if match is not None]


@pytest.mark.slow
def test_keywords_in_a_wav_file_are_heard_once_each_and_in_time(
    tones: Path, recording: Path
) -> None:
    done = run("keyword_stream.py", tones, recording, "--rate", 8000)
    assert (done.returncode, done.stderr) == (0, "")
    (first, low), (second, high) = heard(done.stdout)
    assert (low, high) == ("low", "high")
    assert 2 < first < 3
    assert 6 < second < 7


@pytest.mark.slow
def test_keywords_are_heard_on_standard_input_too(tones: Path, recording: Path) -> None:
    with wave.open(str(recording)) as file:
        content = file.readframes(file.getnframes())
    done = run("keyword_stream.py", tones, "-", "--rate", 8000, stdin=content)
    of_file = run("keyword_stream.py", tones, recording, "--rate", 8000)
    assert done.stdout == of_file.stdout != ""


@pytest.mark.slow
def test_sound_of_another_rate_or_no_sound_is_refused(
    tones: Path, recording: Path, tmp_path: Path
) -> None:
    done = run("keyword_stream.py", tones, recording)
    assert done.stderr.endswith("has 16 bits, 8000 Hz; make it 16 bits, 16000 Hz\n")
    (tmp_path / "empty.wav").write_bytes(b"")
    for name in ("empty.wav", "missing.wav"):
        done = run("keyword_stream.py", tones, tmp_path / name)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert "Traceback" not in done.stderr


# ---- serve.py ----------------------------------------------------------------


@pytest.fixture
def server(fashion: dict[str, Path], tmp_path: Path) -> Iterator[tuple[str, Path, int]]:
    """A running server: its address, the file it serves, its process."""
    for name in ("fastapi", "uvicorn"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    served = Path(shutil.copy(fashion["int8"], tmp_path / "served.tflite"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLES), "serve:app"]
    log = (tmp_path / "log").open("w+")
    process = subprocess.Popen(
        [*command, "--port", str(port)],
        env=os.environ | {"MODEL": str(served)},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(address), "the server does not answer")
        yield address, served, process.pid
    finally:
        process.terminate()
        code = process.wait(30)
        log.seek(0)
        told = log.read()
        log.close()
    assert code in (0, -signal.SIGTERM)
    assert "Traceback" not in told


def wait_until(is_so: Callable[[], bool], otherwise: str) -> None:
    for _ in range(300):
        if is_so():
            return
        time.sleep(0.1)
    pytest.fail(otherwise)


def answers(address: str) -> bool:
    try:
        fetch(f"{address}/health")
    except urllib.error.URLError:
        return False
    return True


def fetch(url: str, body: bytes | None = None) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=30) as response:
        return json.loads(response.read())


def precision(address: str) -> str:
    recipe = fetch(f"{address}/health")["recipe"]
    found = re.search(r"float32|int8", json.dumps(recipe))
    assert found is not None
    return found[0]


@pytest.mark.slow
def test_a_server_answers_and_takes_a_new_file_while_it_serves(
    server: tuple[str, Path, int], fashion: dict[str, Path], photos: Path
) -> None:
    address, served, process = server
    image = sorted(photos.iterdir())[0]
    with edgekit.load(fashion["int8"]) as model:
        expected = [{"label": p.label, "score": p.score} for p in model.classify(image, top=2)]
    assert fetch(f"{address}/classify?top=2", image.read_bytes()) == expected
    assert fetch(f"{address}/health")["tested"] > 0

    for body, said in ((b"no image", "image"), (b"", "image")):
        with pytest.raises(urllib.error.HTTPError, match="422") as refused:
            fetch(f"{address}/classify", body)
        with refused.value as response:
            assert said in response.read().decode()

    served.with_suffix(".new").write_bytes(b"damaged")
    served.with_suffix(".new").replace(served)
    os.kill(process, signal.SIGHUP)
    assert fetch(f"{address}/classify?top=2", image.read_bytes()) == expected

    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(fetch, f"{address}/classify", image.read_bytes()) for _ in range(200)]
        shutil.copy(fashion["float32"], served.with_suffix(".new"))
        served.with_suffix(".new").replace(served)
        os.kill(process, signal.SIGHUP)
        assert all(len(call.result()) == 3 for call in calls)
    wait_until(lambda: precision(address) == "float32", "the new file is not served")


# ---- the README, embed.py, and the unit ---------------------------------------


def readme_example() -> str:
    """The first block of code under "In your app"."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## In your app\n")
    assert len(section) == 2, "README.md has no section 'In your app'"
    lines = section[1].split("\n## ")[0].splitlines()
    block: list[str] = []
    for line in lines:
        if line.startswith("    ") or (block and not line):
            block.append(line[4:])
        elif block:
            break
    return "\n".join(block).strip() + "\n"


@pytest.fixture
def app_folder(fashion: dict[str, Path], photos: Path, tmp_path: Path) -> Path:
    """Where the README's example finds its two files."""
    shutil.copy(fashion["int8"], tmp_path / "fashion.int8.tflite")
    boot = next(path for path in sorted(photos.iterdir()) if "boot" in path.name)
    shutil.copy(boot, tmp_path / "boot.png")
    return tmp_path


@pytest.mark.slow
def test_the_example_of_the_readme_runs_as_it_stands(app_folder: Path) -> None:
    app = app_folder / "app.py"
    app.write_text(readme_example(), encoding="utf-8")
    done = run(str(app), cwd=app_folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "ankle boot" in done.stdout


@pytest.mark.slow
def test_the_embedding_example_runs(app_folder: Path) -> None:
    done = run("embed.py", cwd=app_folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "ankle boot" in done.stdout


def test_the_embedding_example_is_that_of_the_readme() -> None:
    code = (EXAMPLES / "embed.py").read_text(encoding="utf-8")
    assert code.endswith(readme_example())


def sign(folder: Path) -> None:
    """Make a pair of keys, and sign the model with it."""
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key, pem = Ed25519PrivateKey.generate(), form.Encoding.PEM
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, form.PrivateFormat.PKCS8, form.NoEncryption())
    )
    (folder / "public.pem").write_bytes(
        key.public_key().public_bytes(pem, form.PublicFormat.SubjectPublicKeyInfo)
    )
    signing.sign(folder / "fashion.int8.tflite", folder / "key.pem")


@pytest.mark.slow
def test_the_code_of_the_page_on_embedding_runs(
    app_folder: Path, fashion: dict[str, Path], tones: Path
) -> None:
    sign(app_folder)
    shutil.copy(fashion["float32"], app_folder / "fashion.float32.tflite")
    shutil.copy(tones, app_folder / "keywords.int8.tflite")
    page = (ROOT / "docs" / "embedding.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    app = app_folder / "app.py"
    app.write_text("\n".join(blocks), encoding="utf-8")
    done = run(str(app), cwd=app_folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("ankle boot") == 3  # the labels, and two pictures


def test_the_unit_of_the_camera_has_what_it_needs() -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    service = parser["Service"]
    assert service["Restart"] == "on-failure"
    assert service["User"] != "root"
    python, script, _ = service["ExecStart"].split()
    assert python.startswith(f"{service['WorkingDirectory']}/venv/")
    assert (EXAMPLES / script).is_file()


def test_systemd_takes_the_unit_of_the_camera(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    unit, python = tmp_path / UNIT.name, "/opt/edgekit-camera/venv/bin/python"
    text = UNIT.read_text(encoding="utf-8")
    assert python in text
    unit.write_text(text.replace(python, sys.executable), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short_and_says_how_to_run_it(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) < 120
    assert any(path.name in line or f"{path.stem}:app" in line for line in lines[:12])
