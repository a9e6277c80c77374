"""Keep the names of a graph's outputs, in the graph and in its signatures, through quantization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgekit_converters.tflite_graph import text


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """What the outputs of a graph are called."""

    names: tuple[str, ...]
    """Of the output tensors, in the graph's order."""
    places: tuple[dict[str, int], ...]
    """For each signature, where in the graph's list of outputs each of its outputs stands."""

    @classmethod
    def of(cls, model: Any) -> Ends:
        """Remember the outputs of `model`."""
        main = model.subgraphs[0]
        return cls(
            names=tuple(text(main.tensors[index].name) for index in main.outputs),
            places=tuple(
                {
                    text(entry.name): list(model.subgraphs[signature.subgraphIndex].outputs).index(
                        entry.tensorIndex
                    )
                    for entry in signature.outputs or []
                }
                for signature in model.signatureDefs or []
            ),
        )

    def restore(self, made: Any) -> None:
        """Name the outputs of the quantized graph `made` as before, in place."""
        _restore_output_names(made, self.names)
        _restore_signatures(made, self.places)


def _restore_output_names(made: Any, names: tuple[str, ...]) -> None:
    """Call the outputs as before: the quantizer leaves their names to the integers inside."""
    main = made.subgraphs[0]
    places = {text(tensor.name): tensor for tensor in main.tensors}
    for index, name in zip(main.outputs, names, strict=True):
        output, holder = main.tensors[index], places.get(name)
        if holder is not None and holder is not output:
            holder.name, output.name = output.name, holder.name
            places = {text(tensor.name): tensor for tensor in main.tensors}


def _restore_signatures(made: Any, places: tuple[dict[str, int], ...]) -> None:
    """Point signatures at the graph's outputs.

    Where an output is also read inside, the quantizer adds a float copy of it as the output, and
    leaves the signature at the integers.
    """
    for signature, outputs in zip(made.signatureDefs or [], places, strict=True):
        tensors = made.subgraphs[signature.subgraphIndex].outputs
        for entry in signature.outputs or []:
            entry.tensorIndex = tensors[outputs[text(entry.name)]]
