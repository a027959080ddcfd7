"""Exported C on CPUs that an emulator stands in for, beside the same on this one."""

import numpy as np
import pytest
import tensorflow as tf
from sums import sums_network

import zoo
from tools.c_targets.matrix import SHIPPED
from tools.c_targets.targets import EMULATED, NAME, PORTABLE, X86
from zoo.deploy import to_c
from zoo.errors import DeployError

pytestmark = pytest.mark.c_targets
each_target = pytest.mark.parametrize("target", EMULATED, ids=lambda target: target.name)


@pytest.fixture(scope="module")
def expected(exports, builder, images):
    """Results on this machine, by network and by whether products are rounded."""
    found = {}
    for name, export in exports.items():
        for target in (X86, PORTABLE):
            program = builder.build(target, export)
            if target.fused and program.kernels == "portable C":
                pytest.skip("this machine has no AVX2, so nothing rounds as NEON does")
            found[name, target.fused] = program.run(images, 10)
    return found


@each_target
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_networks_are_equal_to_the_bit(name, target, exports, builder, images, expected):
    program = builder.build(target, exports[name])
    assert program.kernels == target.kernels
    found = program.run(images, 10)
    assert len(found.outputs) == 100 and len(np.unique(found.signs)) == 100
    assert found.same_as(expected[name, target.fused])
    # Which of two machines that round otherwise computed it does not change a class.
    other = expected[name, not target.fused].outputs
    assert np.array_equal(found.outputs.argmax(1), other.argmax(1))


@pytest.mark.parametrize("channels", [3, 16, 40, 96])
def test_sums_of_signs_are_kerass(channels, builder, images, tmp_path):
    """Of the test images, or of random numbers for other channels, and of zeros."""
    tf.keras.utils.set_random_seed(0)
    model = sums_network(channels)
    to_c(model, tmp_path / "c", name=NAME)
    random = np.random.default_rng(0)
    batch = random.normal(size=(2, 11, 10, channels)).astype(np.float32)
    batch[0, :5] = np.round(batch[0, :5])
    if channels == 3:
        batch = np.concatenate([batch, images[:, 10:21, 10:20]])
    sums = model(batch, training=False).numpy()
    for target in EMULATED:
        found = builder.build(target, tmp_path / "c").run(batch, sums.shape[1])
        assert np.array_equal(found.outputs, sums), target.name


@each_target
def test_a_missing_tool_is_named_with_its_package(target, exports, builder, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeployError, match=rf"'{target.compiler[0]}' is not installed; Debian's"):
        builder.build(target, exports["ReActNet20"])


def test_keras_sees_the_same_classes(images, expected):
    model = zoo.ReActNet20(weights="cifar10", classifier_activation=None)
    classes = model(images, training=False).numpy().argmax(1)
    assert np.array_equal(expected["ReActNet20", True].outputs.argmax(1), classes)
