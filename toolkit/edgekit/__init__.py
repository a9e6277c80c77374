"""Take a trained Keras model to the small device that runs it, and prove that it works there."""

from edgekit.errors import EdgekitError
from edgekit.tensors import Quantization, TensorSpec

__version__ = "0.1.0"

__all__ = ["EdgekitError", "Quantization", "TensorSpec", "__version__"]
