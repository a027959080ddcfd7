"""larq: quantized layers, the base of quantizers, and the summary of a model."""

from typing import Any

from larq.activations import hard_tanh
from larq.context import quantized_scope
from larq.layers import QuantConv2D, QuantDense, QuantDepthwiseConv2D
from larq.math import sign
from larq.models import LayerProfile, ModelProfile, mac_containing_layers, summary
from larq.quantizers import ApproxSign, Quantizer
from larq.utils import register_keras_custom_object

__all__ = [
    "ApproxSign",
    "LayerProfile",
    "ModelProfile",
    "QuantConv2D",
    "QuantDense",
    "QuantDepthwiseConv2D",
    "Quantizer",
    "hard_tanh",
    "latent_variable",
    "mac_containing_layers",
    "quantized_scope",
    "register_keras_custom_object",
    "sign",
    "summary",
]


def latent_variable(variable: Any) -> Any:
    """Return the latent variable of a binary kernel; larq's wrapper quantises it on reading."""
    return getattr(variable, "latent_variable", variable)
