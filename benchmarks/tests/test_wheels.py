"""Which runtime fits a device, and under which names its packages go."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edgekit_benchmarks import wheels
from edgekit_benchmarks.target import TargetError
from edgekit_benchmarks.wheels import CHOICES, Platform, choose

if TYPE_CHECKING:
    pass

PI5 = Platform(machine="aarch64", glibc=(2, 36), python=(3, 11))
OLD_PI = Platform(machine="armv7l", glibc=(2, 36), python=(3, 11))


@pytest.mark.parametrize(
    ("place", "names"),
    [
        (PI5, ["litert", "tflite-runtime", "onnx"]),
        (replace(PI5, python=(3, 13)), ["litert", "onnx"]),
        (replace(PI5, python=(3, 9)), ["tflite-runtime", "onnx"]),
        (replace(PI5, python=(3, 15)), []),
        (replace(PI5, glibc=(2, 31)), ["litert", "onnx"]),
        (replace(PI5, glibc=(2, 27)), ["litert"]),
        (replace(PI5, glibc=None), []),
        (OLD_PI, ["tflite-runtime"]),
        (replace(OLD_PI, glibc=(2, 31)), []),
        (replace(OLD_PI, python=(3, 13)), []),
        (replace(PI5, machine="armv6l"), []),
        (replace(PI5, machine="riscv64"), []),
        (Platform(machine="x86_64", glibc=(2, 17), python=(3, 11)), ["tflite-runtime"]),
    ],
)
def test_what_fits_follows_machine_glibc_and_python(place: Platform, names: list[str]) -> None:
    assert list(wheels.fitting(place)) == names


@pytest.mark.parametrize(
    ("choice", "place", "chosen"),
    [
        ("auto", PI5, ["ai-edge-litert"]),
        ("auto", OLD_PI, ["tflite-runtime"]),
        ("all", PI5, ["ai-edge-litert", "onnxruntime"]),
        ("all", OLD_PI, ["tflite-runtime"]),
        ("onnx", PI5, ["onnxruntime"]),
        ("tflite-runtime", PI5, ["tflite-runtime"]),
    ],
)
def test_what_is_chosen_fits(choice: str, place: Platform, chosen: list[str]) -> None:
    assert [runtime.package for runtime in choose(choice, place)] == chosen


@pytest.mark.parametrize(
    ("choice", "place", "reason"),
    [
        ("litert", OLD_PI, "not made for armv7l; use --runtime tflite-runtime"),
        ("tflite-runtime", replace(PI5, python=(3, 12)), "takes Python 3.9 to 3.11"),
        ("tflite-runtime", replace(PI5, glibc=(2, 31)), "takes glibc 2.34 or newer"),
        ("auto", replace(PI5, glibc=None), "takes Linux with glibc; .*use another"),
        ("onnx", replace(PI5, python=(3, 8)), "onnxruntime 1.19.2 takes Python 3.9"),
    ],
)
def test_what_does_not_fit_is_told_with_the_reason(
    choice: str, place: Platform, reason: str
) -> None:
    with pytest.raises(TargetError, match=reason):
        choose(choice, place)


def test_the_command_line_knows_the_same_choices() -> None:
    from edgekit.cli import targets

    assert targets._RUNTIMES == CHOICES


def test_a_platform_is_read_from_facts() -> None:
    facts = {"machine": "aarch64", "bits": 64, "libc": "glibc 2.36", "python": "3.11.2"}
    assert Platform.of(facts) == PI5
    assert Platform.of({**facts, "bits": 32}) == OLD_PI
    assert Platform.of({**facts, "libc": "musl 1.2"}).glibc is None


def test_the_tags_name_every_older_glibc_and_the_old_names() -> None:
    tags = PI5.tags
    assert tags[0] == "manylinux_2_36_aarch64"
    assert tags[-2:] == ["manylinux_2_17_aarch64", "manylinux2014_aarch64"]
    assert len(tags) == 36 - 17 + 2
    x86_64 = Platform(machine="x86_64", glibc=(2, 17), python=(3, 11)).tags
    assert {"manylinux1_x86_64", "manylinux2010_x86_64", "manylinux2014_x86_64"} < set(x86_64)
