"""One step of preparing an input: how it is written, and what it does to samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit import pixels
from edgekit.errors import DataError, UsageError

Array = NDArray[Any]

STEPS: dict[str, str] = {
    "scale": "scale=1/255        multiply (a number or a fraction)",
    "mean": "mean=127.5         subtract; one value, or one a channel: mean=0.485:0.456:0.406",
    "std": "std=127.5          divide; one value, or one a channel",
    "0..1": "0..1               pixels 0..255 to 0..1",
    "-1..1": "-1..1              pixels 0..255 to -1..1",
    "resize": "resize=96x128      stretch to height x width, antialiased; resize=96: square",
    "crop": "crop=96x128        cut the middle out; crop=96: square",
    "gray": "gray               one channel: 0.299 R + 0.587 G + 0.114 B",
    "rgb": "rgb                three channels; gray is repeated, alpha dropped",
    "bgr": "bgr                three channels, blue first, from RGB",
    "none": "none               the data go in as they are",
}
"""Every step, with an example and what it does; the text that ``--help`` shows."""

_NUMBERS = ("scale", "mean", "std")
SIZES = ("resize", "crop")
CALCULATING = (*_NUMBERS, "0..1", "-1..1")
"""Steps after which values are in another range than they are stored in."""
_LONGEST_SIDE = 16384


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: its name and its numbers (channel values, or height and width)."""

    name: str
    values: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse unknown names and numbers that no step can use."""
        if self.name not in STEPS or self.name == "none":
            message = f"--preprocess {self.name}: no such step; there are: {', '.join(STEPS)}"
            raise UsageError(message)
        if not all(value == 0 or 1e-37 < abs(value) < 1e37 for value in self.values):
            message = f"--preprocess {self.name}: {list(self.values)} are no float32; give others"
            raise UsageError(message)
        if self.name in SIZES:
            whole = all(v == int(v) and 1 <= v <= _LONGEST_SIDE for v in self.values)
            if len(self.values) != 2 or not whole:
                message = (
                    f"--preprocess {self.name}: needs a height and a width from 1 to "
                    f"{_LONGEST_SIDE}; write {self.name}=96 or {self.name}=96x128"
                )
                raise UsageError(message)
        elif (self.name in _NUMBERS) != bool(self.values):
            needs = "needs a number" if self.name in _NUMBERS else "takes no value"
            message = f"--preprocess {self.name}: {needs}; write {STEPS[self.name].split()[0]}"
            raise UsageError(message)
        if self.name in ("scale", "std") and 0 in self.values:
            message = f"--preprocess {self}: 0 would destroy the data; give another number"
            raise UsageError(message)

    def __str__(self) -> str:
        if self.name in SIZES:
            return f"{self.name}={'x'.join(str(int(value)) for value in self.values)}"
        if self.values:
            return f"{self.name}={':'.join(_number_text(value) for value in self.values)}"
        return self.name


def parse_step(part: str, text: str) -> Step:
    """Read one step, `part` of `text`.

    Raises:
        UsageError: an unknown step, or a value it cannot have.
    """
    name, equals, value = (piece.strip() for piece in part.partition("="))
    if _is_number(part):
        message = f"--preprocess {text}: {part!r} is no step; join channels by colons, mean=1:2:3"
        raise UsageError(message)
    if name not in STEPS:
        message = f"--preprocess {text}: no step {name!r}; there are: {', '.join(STEPS)}"
        raise UsageError(message)
    if name == "none":
        message = f"--preprocess {text}: 'none' stands alone; take the other steps away"
        raise UsageError(message)
    if not equals:
        return Step(name=name)
    if name in SIZES:
        sides = value.lower().split("x")
        numbers = sides * 2 if len(sides) == 1 else sides
    else:
        numbers = value.split(":")
    try:
        return Step(name=name, values=tuple(map(_parse_number, numbers)))
    except (ValueError, ZeroDivisionError, OverflowError):
        example = STEPS[name].split()[0]
        message = f"--preprocess {text}: cannot read {value!r}; write for example {example}"
        raise UsageError(message) from None


def _parse_number(text: str) -> float:
    above, slash, below = text.partition("/")
    return float(above) / float(below) if slash else float(above)


def _is_number(text: str) -> bool:
    try:
        _parse_number(text)
    except (ValueError, ZeroDivisionError):
        return False
    return True


def _number_text(value: float) -> str:
    """A text that reads back as exactly `value`: 1/255 rather than 0.00392156862745098."""
    if not 1e-15 < abs(value) < 1e15:  # 0, inf and nan too
        return repr(value)
    if value == int(value):
        return str(int(value))
    below = round(1 / value)
    return f"1/{below}" if below > 1 and 1 / below == value else repr(value)


def step_from_dict(data: object) -> Step:
    """Read a step as the manifest stores it.

    Raises:
        UsageError: an unknown key or step, or a value of the wrong type.
    """
    if not isinstance(data, dict) or set(data) != {"name", "values"}:
        message = f"preprocess: a step must have 'name' and 'values', not {data!r}; write it anew"
        raise UsageError(message)
    values = data["values"]
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        message = f"preprocess: the values of {data['name']!r} must be numbers; write it anew"
        raise UsageError(message)
    return Step(name=str(data["name"]), values=tuple(map(float, values)))


def run_step(samples: Array, step: Step) -> Array:
    """Do `step` to a batch, channels last; uint8 stays uint8 until a step calculates.

    Raises:
        DataError: the step does not fit the samples' channels or size.
    """
    return _RUN[step.name](samples, step)


def _values(samples: Array, step: Step) -> NDArray[np.float32]:
    count = len(step.values)
    if count > 1 and (samples.ndim < 2 or samples.shape[-1] != count):
        has = samples.shape[-1] if samples.ndim > 1 else 1
        message = (
            f"--preprocess {step}: has {count} values, the data have {has} channels; "
            "give one value, or one a channel"
        )
        raise DataError(message)
    return np.array(step.values if count > 1 else step.values[0], np.float32)


def _pictures(
    function: Callable[..., Array], *, sized: bool = False
) -> Callable[[Array, Step], Array]:
    """A step that needs (samples, height, width, channels); gray ones may lack the channel."""

    def run(samples: Array, step: Step) -> Array:
        if samples.ndim not in (3, 4):
            message = (
                f"--preprocess {step}: needs images, the data are {samples.shape[1:]} a sample; "
                "take the step away"
            )
            raise DataError(message)
        full = samples if samples.ndim == 4 else samples[..., np.newaxis]
        made = function(full, *map(int, step.values)) if sized else function(full)
        return made[..., 0] if samples.ndim == 3 and made.shape[-1] == 1 else made

    return run


def _float(samples: Array) -> NDArray[np.float32]:
    return samples.astype(np.float32, copy=False)


_RUN: dict[str, Callable[[Array, Step], Array]] = {
    "scale": lambda samples, step: _float(samples) * _values(samples, step),
    "mean": lambda samples, step: _float(samples) - _values(samples, step),
    "std": lambda samples, step: _float(samples) / _values(samples, step),
    "0..1": lambda samples, _: _float(samples) / np.float32(255),
    "-1..1": lambda samples, _: _float(samples) / np.float32(127.5) - np.float32(1),
    "resize": _pictures(pixels.resize, sized=True),
    "crop": _pictures(pixels.crop, sized=True),
    "gray": _pictures(pixels.to_gray),
    "rgb": _pictures(pixels.to_rgb),
    "bgr": _pictures(pixels.to_bgr),
}
