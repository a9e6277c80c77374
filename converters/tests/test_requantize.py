from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.artifact import Conversion
from edgekit.errors import UsageError
from edgekit.manifest import read_manifest

pytestmark = pytest.mark.slow

Make = Callable[..., Conversion]
LABELS = ("north", "east", "south", "west")


def manifest(conversion: Conversion) -> dict[str, Any]:
    (artifact,) = conversion.artifacts
    found = read_manifest(artifact.path)
    assert found is not None
    return found


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_what_a_file_carries_goes_on_into_the_file_quantized_from_it(
    make: Make, zoo: Path, kind: str
) -> None:
    first = make("mlp.keras", to=(kind,), labels=LABELS, preprocess=("scale=1/2",))
    again = make(
        str(first.artifacts[0].path),
        to=(kind,),
        quantize=("int8",),
        data=str(zoo / "mlp.npz"),
    )
    assert manifest(again)["labels"] == list(LABELS)
    assert manifest(again)["preprocess"] == manifest(first)["preprocess"]
    assert "row" in manifest(again)["preprocess"]


def test_labels_that_no_output_has_scores_for_are_refused(make: Make) -> None:
    with pytest.raises(UsageError, match=r"--labels: 2 names, but output 'value' has 4 scores"):
        make("mlp.keras", labels=("yes", "no"))
