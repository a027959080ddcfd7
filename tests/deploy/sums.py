"""Networks that return the sums of binary convolutions, with every geometry."""

import larq as lq
import tensorflow as tf
from case import randomize

from zoo.layers import SymmetricConv2D

layers = tf.keras.layers


def binary(filters, size, **options):
    signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
    return lq.layers.QuantConv2D(filters, size, use_bias=False, **signs, **options)


def symmetric(filters, size, **options):
    signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
    return SymmetricConv2D(filters, size, **signs, **options)


CONVOLUTIONS = {
    "plain": lambda: binary(9, 3),
    "same": lambda: binary(32, 3, padding="same"),
    "strided": lambda: binary(16, 3, padding="same", strides=2),
    "symmetric": lambda: symmetric(17, 3, strides=2),
    "wide": lambda: symmetric(33, 5),
    "pointwise": lambda: binary(40, 1),
    "pointwise strided": lambda: binary(16, 1, strides=2),
    "ones outside": lambda: binary(20, 3, padding="same", pad_values=1.0),
    "minus ones outside": lambda: binary(20, 5, padding="same", pad_values=-1.0, strides=2),
    "dilated": lambda: binary(16, 3, padding="same", dilation_rate=2),
    "oblong": lambda: binary(16, (1, 7), padding="same"),
    "large": lambda: binary(16, (7, 5)),
}


def sums_network(channels: int, size: tuple[int, int] = (11, 10)) -> tf.keras.Model:
    """All convolutions side by side, with their sums as consecutive outputs."""
    image = tf.keras.Input((*size, channels))
    sums = [make()(image) for make in CONVOLUTIONS.values()]
    if channels != 16:  # the pixels of the dilated one have 32 bits
        sums.pop(list(CONVOLUTIONS).index("dilated"))
    flat = layers.Concatenate()([layers.Flatten()(each) for each in sums])
    return randomize(tf.keras.Model(image, flat, name="sums"))
