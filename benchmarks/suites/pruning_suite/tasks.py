"""Which trained models are pruned, on which data, and how they are fine-tuned."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from . import networks

SCRIPTS = Path(__file__).parents[3] / "scripts"
PREPARE = """
import sys
from pathlib import Path
from dev_data.prepare import TASKS, prepare
prepare(TASKS[sys.argv[1]], Path(sys.argv[2]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A trained classifier, and how `edgekit prune` is to train it on."""

    name: str
    about: str
    model: Path
    """.keras"""
    data: Path
    """.npz with ``x_train``, ``y_train``, ``x_test``, ``y_test``."""
    preprocess: str | None
    training: tuple[str, ...]
    """Options of the fine-tuning."""

    @property
    def on_data(self) -> tuple[str, ...]:
        """``--preprocess …`` where the arrays are not what the model takes."""
        return () if self.preprocess is None else ("--preprocess", self.preprocess)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    about: str
    training: str
    full_fashion: bool = False
    """Fine-tuned on all of Fashion-MNIST instead of the samples that it is distributed with."""


_UNCOMPILED = "--loss sparse_categorical_crossentropy"
NETWORKS = {
    "resnet": _Plan(
        about="ResNet-8, twice as wide; Fashion-MNIST",
        training="--epochs 4 --batch-size 128 --learning-rate 0.001",
    ),
    "mobilenet": _Plan(
        about="MobileNetV2, 12 blocks; Fashion-MNIST",
        training="--epochs 5 --batch-size 128 --learning-rate 0.002",
    ),
}
SMALL = {
    "fashion": _Plan(
        about="the classifier of `edgekit demo`; Fashion-MNIST",
        training=f"--epochs 5 --batch-size 128 {_UNCOMPILED}",
        full_fashion=True,
    ),
    "fashion-depthwise": _Plan(
        about="depthwise CNN; Fashion-MNIST, 15,000 images",
        training=f"--ratios sensitivity --epochs 15 {_UNCOMPILED}",
    ),
    "mnist": _Plan(about="CNN; MNIST, 5,000 images", training=f"--epochs 10 {_UNCOMPILED}"),
    "digits": _Plan(about="CNN; 8x8 digits", training=f"--epochs 20 {_UNCOMPILED}"),
    "motions": _Plan(
        about="1-D CNN; BasicMotions", training=f"--epochs 40 --batch-size 8 {_UNCOMPILED}"
    ),
    "motions-gru": _Plan(
        about="GRU; BasicMotions", training=f"--epochs 40 --batch-size 8 {_UNCOMPILED}"
    ),
    "vowels-lstm": _Plan(
        about="LSTM; JapaneseVowels", training=f"--epochs 40 --batch-size 16 {_UNCOMPILED}"
    ),
    "sentiment": _Plan(
        about="mean of embeddings, MLP; reviews", training=f"--epochs 10 {_UNCOMPILED}"
    ),
    "sentiment-transformer": _Plan(
        about="transformer block; reviews", training=f"--epochs 5 {_UNCOMPILED}"
    ),
    "cancer": _Plan(
        about="MLP; breast cancer", training=f"--epochs 20 --batch-size 16 {_UNCOMPILED}"
    ),
}
NAMES = (*NETWORKS, *SMALL)
FASTER = {"mnist": "--latency 0.64x"}
"""A target that reaches the bar of p50, where half of the multiply-adds does not."""
ZEROS = ("resnet",)
"""Where weights are set to zero, and nothing else is done."""
CLUSTERS = {
    "resnet": "--cluster 16",
    "mobilenet": "--cluster 4",
    "fashion": "--scope global --cluster 3 --epochs 10",
}
"""Where weights are set to zero and the others clustered: the options of that."""


def runs(name: str) -> dict[str, tuple[str, ...]]:
    """What is done with a model of `NAMES`: the kind of it, and the options of `edgekit prune`."""
    zeros = ("--method", "unstructured", "--sparsity", "80%")
    widths = ("--multiple-of", "16") if name in NETWORKS else ()
    found: dict[str, tuple[str, ...]] = {"structured": ("--macs", "50%", "--teacher", *widths)}
    if name in FASTER:
        found["faster"] = (*FASTER[name].split(), "--teacher")
    if name in ZEROS:
        found["zeros"] = zeros
    if name in CLUSTERS:
        found["clusters"] = (*zeros, *CLUSTERS[name].split())
    return found


def task(name: str, cache: Path) -> Task:
    """Returns the task of `NAMES`; what is not in `cache` is fetched and trained first."""
    if name in NETWORKS:
        plan = NETWORKS[name]
        model, data = networks.trained(name, cache), networks.data(cache)
    else:
        plan = SMALL[name]
        folder = cache / "development" / name
        if not (folder / f"{name}.keras").exists():
            command = [sys.executable, "-c", PREPARE, name, str(folder.parent.resolve())]
            subprocess.run(command, check=True, cwd=SCRIPTS, stdout=sys.stderr)
        model = folder / f"{name}.keras"
        data = networks.data(cache) if plan.full_fashion else folder / f"{name}.npz"
    is_image = name in NETWORKS or name.startswith("fashion")
    return Task(
        name=name,
        about=plan.about,
        model=model,
        data=data,
        preprocess="scale=1/255" if is_image else None,
        training=tuple(plan.training.split()),
    )
