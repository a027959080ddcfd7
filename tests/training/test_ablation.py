"""Each training of the ablation lacks the part in its name, and no other part of its method."""

import pytest
import tensorflow as tf

from benchmarks.ablation import VARIANTS, configured
from tools.tables import ABLATION, read_table
from zoo.errors import InvalidValueError
from zoo.layers import LeakyClip, LearnableShift, LearnedScale, RPReLU
from zoo.quantizers import ApproximateSign, EDESign, SelfDistributionSign, StraightThroughSign

SCALES = {"constant scale": 0, "case1": 1, "case2": 1, "case3": 2, "case4": 3}  # variables of each
PARTS = (LearnableShift, RPReLU, tf.keras.layers.PReLU, SelfDistributionSign)
LACKING = {
    "RSign and RPReLU": {tf.keras.layers.PReLU, SelfDistributionSign},
    "without RSign": {LearnableShift, tf.keras.layers.PReLU, SelfDistributionSign},
    "PReLU without shifts": {RPReLU, SelfDistributionSign},
}


def convolutions(name):
    model = configured(name, 8, 0).stages()[-1].build()
    found = [x for x in model.layers if getattr(x, "kernel_quantizer", None) is not None]
    assert len(found) == 18
    return model, found


@pytest.mark.parametrize(
    ("name", "estimator"),
    [
        ("straight-through", StraightThroughSign),
        ("approximate sign", ApproximateSign),
        ("error decay", EDESign),
    ],
)
@pytest.mark.slow
def test_estimators(name, estimator):
    model, found = convolutions(name)
    assert {type(each.input_quantizer) for each in found} == {estimator}
    if estimator is EDESign:
        configured(name, 8, 0).stages()[-1].each_epoch(model, 0.0)
        assert [float(each.input_quantizer.t) for each in found] == pytest.approx(18 * [0.1])


@pytest.mark.parametrize("name", LACKING)
@pytest.mark.slow
def test_parts_of_reactnet(name):
    model, _ = convolutions(name)
    layers = model._flatten_layers(include_self=False)
    there = {part for layer in layers for part in PARTS if type(layer) is part}
    assert set(PARTS) - there == LACKING[name]


@pytest.mark.parametrize("name", [x for x, v in VARIANTS.items() if v.idea == "learned scale"])
@pytest.mark.slow
def test_scales(name):
    model, _ = convolutions(name)
    scales = [layer for layer in model.layers if isinstance(layer, LearnedScale)]
    assert len(scales) == 18
    learned = {len(layer.trainable_weights) for layer in scales}
    assert learned == {SCALES[name.removeprefix("scale of ")]}


@pytest.mark.parametrize(
    ("name", "gates", "kernel"),
    [
        ("ASD and WSD", 18, SelfDistributionSign),
        ("without ASD", 0, SelfDistributionSign),
        ("without WSD", 18, EDESign),
        ("ASD and WSD, PReLU for hardtanh", 18, SelfDistributionSign),
    ],
)
@pytest.mark.slow
def test_self_distribution(name, gates, kernel):
    model, found = convolutions(name)
    assert sum(layer.name.endswith(".asd") for layer in model.layers) == gates
    assert {type(each.kernel_quantizer) for each in found} == {kernel}


@pytest.mark.parametrize(
    ("name", "hardtanhs"),
    [
        ("ASD and WSD", 19),
        ("ASD and WSD, PReLU for hardtanh", 1),
        ("ASD and WSD, PReLU for hardtanh, sharpness from 1.0", 1),
    ],
)
@pytest.mark.slow
def test_the_function_of_self_distribution(name, hardtanhs):
    model, _ = convolutions(name)
    prelus = sum(isinstance(layer, tf.keras.layers.PReLU) for layer in model.layers)
    assert sum(isinstance(layer, LeakyClip) for layer in model.layers) == hardtanhs
    assert prelus == 19 - hardtanhs


@pytest.mark.parametrize(
    ("name", "epochs"),
    [
        ("teacher, one stage", [0, 0, 6, 2]),
        ("held, with a teacher", [0, 0, 6, 2]),
        ("teacher, two stages", [0, 2, 4, 1]),
        ("RSign and RPReLU", [6, 2]),
        ("whole images, at the same cost", [6]),
        ("constant scale", [6]),
    ],
)
@pytest.mark.slow
def test_stages_add_up(name, epochs):
    assert [stage.epochs for stage in configured(name, 8, 0).planned_stages()] == epochs


@pytest.mark.parametrize(("name", "epochs"), [("RSign and RPReLU", 2), ("teacher, two stages", 4)])
def test_too_few_epochs_for_a_part_are_one_sentence(name, epochs):
    with pytest.raises(InvalidValueError, match=r"too few for '.*': take --epochs 8"):
        configured(name, epochs, 0)


def test_what_is_recorded_can_be_repeated():
    assert {row["variant"] for row in read_table(ABLATION)} <= set(VARIANTS)


def test_all_but_what_is_named_otherwise_start_at_one_learning_rate():
    rates = {name: configured(name, 8, 0).stages()[-1].learning_rate for name in VARIANTS}
    others = {
        "learning rate 4e-3": 4e-3,
        "learning rate 3e-2": 3e-2,
        "XNOR-Net++ of case 1, learning rate 4e-3": 4e-3,
        "ASD and WSD, the paper's SGD": 0.11,
        "ASD and WSD, learning rate 2e-3": 2e-3,
        "ASD and WSD, learning rate 3e-2": 3e-2,
    }
    others |= {name: 4e-3 for name in VARIANTS if "scale" in name}
    assert rates == {name: others.get(name, 1e-2) for name in VARIANTS}


def test_warm_up_rises_to_what_it_falls_from():
    (stage,) = configured("warm-up", 8, 0).stages()
    factors = [stage.schedule(passed) for passed in (0, 0.05, 0.1, 0.55)]
    assert factors == pytest.approx([0, 0.475, 0.9, 0.45])


def test_batch_norm_that_averages_longer():
    model, _ = convolutions("batch norm averages 100 batches")
    kept = {x.momentum for x in model.layers if isinstance(x, tf.keras.layers.BatchNormalization)}
    assert kept == {0.99}


def test_kernels_next_to_zero():
    _, found = convolutions("kernels next to zero")
    assert all(float(tf.reduce_max(tf.abs(x.kernel.latent_variable))) <= 0.001 for x in found)


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("RSign and RPReLU", True),
        ("kernels not clipped", False),
        ("ASD and WSD", False),
        ("ASD and WSD, kernels clipped", True),
    ],
)
def test_clipping(name, held):
    _, found = convolutions(name)
    assert {each.kernel_constraint is not None for each in found} == {held}


@pytest.mark.parametrize(
    ("name", "factors"),
    [
        ("warm-up", (0.0, 0.5, 0.25)),
        ("falling by the square", (1.0, 0.25, 0.0625)),
        ("held, falling in the last third", (1.0, 1.0, 0.75)),
        ("held, with a teacher", (1.0, 1.0, 0.75)),
        ("ASD and WSD, rate held", (1.0, 1.0, 0.75)),
        ("RSign and RPReLU", (1.0, 0.5, 0.25)),
    ],
)
def test_the_learning_rate_runs_through_crops_and_whole_images_as_through_one(name, factors):
    *_, crops, whole = configured(name, 8, 0).planned_stages()
    # Six epochs and two: the middle of all is two thirds of the first stage.
    found = [crops.schedule(0.0), crops.schedule(2 / 3), whole.schedule(0.0)]
    assert found == pytest.approx(factors)
