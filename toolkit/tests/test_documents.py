import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
FILES = [
    str(file.relative_to(ROOT))
    for top in ("toolkit", "converters", "benchmarks", "device_tests", "scripts", "docs")
    for file in (ROOT / top).rglob("*")
    if "__pycache__" not in file.parts
] + [file.name for file in ROOT.iterdir()]


def names(document: Path) -> set[str]:
    """Paths of this repository between back quotes, as far as they look like paths."""
    quoted = re.findall(r"`([\w./-]+)`", document.read_text())
    places = r"(toolkit|converters|benchmarks|device_tests|scripts|docs|edgekit)/.+"
    if document.name == "CONTRIBUTING.md":
        places += r"|.+\.py"
    return {name.rstrip("/") for name in quoted if re.fullmatch(places, name)}


def test_the_contributing_page_names_files() -> None:
    assert len(names(ROOT / "CONTRIBUTING.md")) > 10


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_file_that_a_document_names_exists(document: Path) -> None:
    lost = {
        name
        for name in names(document)
        if not any(f"/{file}".endswith(f"/{name}") for file in FILES)
    }
    assert lost == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_no_document_installs_the_package_of_another_project(document: Path) -> None:
    assert not re.search(r"pip install ['\"]?edgekit(?!-toolkit)", document.read_text())
