"""Lets the tests of this folder import `case` here, and the code that reads tests/golden."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path += [str(HERE), str(HERE.parents[1] / "golden")]


@pytest.fixture(autouse=True)
def _forget_models():
    """Free the models that Keras keeps, 100 MB each; models of fixtures stay usable."""
    yield
    import tensorflow as tf

    tf.keras.backend.clear_session()
