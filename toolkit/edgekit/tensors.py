"""What goes into a model and what comes out.

Named tuples, and their fields' types as they are and not as text, since every load makes these
classes: dataclasses take eight times as long.
"""

from typing import Any, NamedTuple


class Quantization(NamedTuple):
    """How stored integers stand for real numbers: ``real = scale * (stored - zero_point)``.

    One scale and zero point for the whole tensor, or one for each index along `axis`.
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as the manifest stores it."""
        return {"scale": list(self.scale), "zero_point": list(self.zero_point), "axis": self.axis}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Quantization":
        """Read what `to_dict` wrote."""
        return cls(
            scale=tuple(float(s) for s in data["scale"]),
            zero_point=tuple(int(z) for z in data["zero_point"]),
            axis=data["axis"],
        )


class TensorSpec(NamedTuple):
    """One input or output of a model. A None in `shape` is a free dimension."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    """A NumPy dtype name: ``float32``, ``int8``, …; ``string`` for text."""
    quantization: Quantization | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as the manifest and ``--json`` store it."""
        return {
            "name": self.name,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "quantization": self.quantization and self.quantization.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "TensorSpec":
        """Read what `to_dict` wrote."""
        quantization = data["quantization"]
        return cls(
            name=data["name"],
            shape=tuple(data["shape"]),
            dtype=data["dtype"],
            quantization=Quantization.from_dict(quantization) if quantization else None,
        )
