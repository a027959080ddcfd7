"""Exported C on emulated CPUs, compared with this CPU."""

import json

import numpy as np
import pytest
import tensorflow as tf
from case import images as images_of
from networks import quick_network, relative
from sums import sums_network

import zoo
from tools.c_targets import browser
from tools.c_targets.matrix import HEAVY, SHIPPED
from tools.c_targets.targets import EMULATED, NAME, PORTABLE, WASM, X86, Program, checked
from zoo.deploy import to_c
from zoo.errors import DeployError

pytestmark = pytest.mark.c_targets
STEPS = dict.fromkeys(HEAVY, 10)  # every tenth image is used
each_target = pytest.mark.parametrize("target", EMULATED, ids=lambda target: target.name)


@pytest.fixture(scope="module")
def expected(exports, builder, images):
    """Results on this machine by network, with and without rounding of products."""
    found = {}
    for name, export in exports.items():
        for target in (X86, PORTABLE):
            program = builder.build(target, export)
            if target.fused and program.kernels == "portable C":
                pytest.skip("this machine has no AVX2, so nothing rounds as NEON does")
            found[name, target.fused] = program.run(images[:: STEPS.get(name, 1)], 10)
    return found


@each_target
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_networks_are_equal_to_the_bit(name, target, exports, builder, images, expected):
    program = builder.build(target, exports[name])
    assert program.kernels == target.kernels
    batch = images[:: STEPS.get(name, 1)]
    found = program.run(batch, 10)
    assert len(found.outputs) == len(batch)
    assert len(np.unique(found.signs)) == (1 if name == "RealResNet20" else len(batch))
    assert found.same_as(expected[name, target.fused])
    # The machines round differently, but this does not change a class.
    other = expected[name, not target.fused].outputs
    assert np.array_equal(found.outputs.argmax(1), other.argmax(1))


@pytest.mark.parametrize("channels", [3, 16, 40, 96])
def test_sums_of_signs_are_kerass(channels, builder, images, tmp_path):
    """Return inputs: test images, or random numbers for other channels, and zeros."""
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


@pytest.mark.parametrize("name", ["ReActNetA", "XNORNetPlusPlusResNet20"])
def test_other_families(name, builder, tmp_path):
    """Means of 2x2 pixels on the way, and scales by pixel."""
    tf.keras.utils.set_random_seed(0)
    model = quick_network(name)
    to_c(model, tmp_path / "c", name=NAME)
    batch = images_of(model, 3)
    here = {
        each.fused: builder.build(each, tmp_path / "c").run(batch, model.output_shape[-1])
        for each in (X86, PORTABLE)
    }
    assert relative(here[True].outputs, model(batch, training=False)) < 1e-5
    for target in EMULATED:
        found = builder.build(target, tmp_path / "c").run(batch, model.output_shape[-1])
        assert found.same_as(here[target.fused]), target.name


@each_target
def test_a_missing_tool_is_named_with_its_package(target, exports, builder, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeployError, match=rf"'{target.compiler[0]}' is not installed; Debian's"):
        builder.build(target, exports["ReActNet20"])


def test_keras_sees_the_same_classes(images, expected):
    model = zoo.ReActNet20(weights="cifar10", classifier_activation=None)
    classes = model(images, training=False).numpy().argmax(1)
    others = expected["ReActNet20", True].outputs.argmax(1) != classes
    assert others.sum() <= 2  # a sign near zero may flip; of 10,000 images, 8 changed their class


def test_the_documentations_module(images, tmp_path, expected):
    """The file equals a new build of its sources with the same compiler, and it runs in node."""
    made = json.loads(browser.MODULE.with_suffix(".json").read_text(encoding="utf-8"))
    browser.build(tmp_path / "again.wasm")
    if checked(["clang", "--version"]).decode().startswith(made["compiler"] + "\n"):
        assert (tmp_path / "again.wasm").read_bytes() == browser.MODULE.read_bytes()
    kept = Program(WASM, browser.MODULE).run(images, 10)
    assert kept.same_as(expected["ReActNet20", False])
