"""The precisions in which layers and quantizers are tested."""

import pytest
import tensorflow as tf


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    tf.keras.backend.set_floatx(request.param)
    yield request.param
    tf.keras.backend.set_floatx("float32")


@pytest.fixture(params=["mixed_float16", "mixed_bfloat16"])
def policy(request):
    tf.keras.mixed_precision.set_global_policy(request.param)
    yield tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(None)
