import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit import demo


def test_what_the_demo_needs_is_bundled() -> None:
    assert all(file.is_file() for file in (demo.MODEL, demo.DATA, demo.LABELS))
    assert sum(file.stat().st_size for file in demo.FILES.iterdir()) < 5_000_000


@pytest.mark.slow
def test_the_demo_makes_eight_verified_files_as_good_as_the_original(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgekit", "demo", "--json", "-o", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    artifacts = found["conversion"]["artifacts"]
    assert {(a["format"], a["precision"]) for a in artifacts} == {
        (name, precision) for name in demo.FORMATS for precision in demo.PRECISIONS
    }
    assert {a["verification"]["status"] for a in artifacts} == {"passed"}
    keras, *others = found["evaluation"]["files"]
    assert keras["accuracy"]["value"] > 0.9
    for score in others:
        assert not score["against_first"]["significant"]
        assert score["against_first"]["changed"]["value"] < 0.02
    assert all(0 < row["p50_low_ns"] <= row["p50_ns"] for row in found["latency"])
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == sorted(
        Path(a["path"]).name for a in artifacts
    )
