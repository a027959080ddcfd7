"""The dry run of every task's recipe, and special behaviour of single recipes."""

import os
import re
from pathlib import Path

import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from training.cli import main
from training.loop.initialization import hold_signs
from training.loop.schedules import error_decay
from training.loop.stage import batch_norms
from training.recipes import KerasApplicationFactory
from training.settings.configuration import configure_task, parse_assignments
from training.settings.discovery import recipe_tasks
from zoo.convolution import cpu_multiplies_bfloat16
from zoo.errors import InvalidValueError, UnknownNameError, WeightsError, ZooError
from zoo.models._functions import construct
from zoo.quantizers import EDESign

SNAPSHOTS = Path(__file__).parent / "dry_runs"
TASKS = {info.name: info for info in recipe_tasks()}
# A data set of known size, for the recipe for the user's folder.
SETTINGS = {"FineTune": ["dataset=Cifar10"]}
CASES = [(name, f"{name}.txt", SETTINGS.get(name, [])) for name in TASKS]
QUICKNET = {
    "model": "QuickNetSmall",
    "model.section_filters": (8, 8, 16, 16),
    "model.section_blocks": (1, 1, 1, 1),
}
# One recipe of each kind; a plan builds the network of every stage, seconds each for ImageNet.
QUICK = ("Demo", "FineTune", "OneHour", "ReActNet20", "BiRealNet", "SDBNNResNet20", "RealResNet20")


@pytest.mark.parametrize(
    ("task", "file", "settings"),
    [
        pytest.param(*case, marks=[] if case[0] in QUICK else [pytest.mark.slow], id=case[1])
        for case in CASES
    ],
)
def test_recipe_is_the_recorded_one(task, file, settings, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))  # contains no data set
    assert main(["train", task, "--dry-run", *settings]) == 0
    printed = capsys.readouterr().out
    assert not list(tmp_path.iterdir())
    if os.environ.get("ZOO_UPDATE") == "1":
        (SNAPSHOTS / file).write_text(printed, encoding="utf-8")
    assert printed == (SNAPSHOTS / file).read_text(encoding="utf-8")


def test_every_snapshot_belongs_to_a_task():
    assert {file.name for file in SNAPSHOTS.iterdir()} == {case[1] for case in CASES}


@pytest.mark.parametrize("name", TASKS)
def test_docstring_says_what_to_expect_and_repeats_no_value(name):
    """Only the table states values, so that no sentence contradicts them."""
    doc = TASKS[name].load().__doc__
    assert "%" in doc or "cores" in doc or "docs/results/cifar10.md" in doc
    prose = re.sub(r"`[^`]*`", "", doc)  # commands with other values
    for word in ("epoch", "batch", "weight decay", "learning rate"):
        assert not re.search(rf"\d\S* {word}|{word}\S* \d", prose), word


def stages_of(task, *settings):
    return configure_task(TASKS[task].load(), parse_assignments(settings)).stages()


@pytest.mark.parametrize("setting", [True, False, None])
def test_precision_is_asked_for_or_the_cpus(setting):
    recipe = configure_task(TASKS["SDBNNResNet20"].load(), {"bfloat16": setting})
    gpu = tf.config.list_physical_devices("GPU")
    expected = cpu_multiplies_bfloat16() and not gpu if setting is None else setting
    assert [stage.bfloat16 for stage in recipe.planned_stages()] == [expected]


def test_values_of_the_default_network_go_with_it():
    recipe = configure_task(TASKS["Demo"].load(), parse_assignments(["model=ReActNet18"]))
    assert recipe.config["epochs"] == 11 and "model.width" not in recipe.config


def test_optimizer_of_self_distribution_by_name():
    (paper,), (short,) = stages_of("SDBNNResNet20"), stages_of("SDBNNResNet20", "optimizer=adam")
    assert paper.optimizer(0.1).momentum == 0.9
    assert isinstance(short.optimizer(0.1), tf.keras.optimizers.legacy.Adam)
    with pytest.raises(UnknownNameError, match=r"no optimizer 'lamb'.* Valid names: adam, sgd"):
        stages_of("SDBNNResNet20", "optimizer=lamb")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["epochs=0", "crop_epochs=0"], "Nothing would be trained: epochs must be 1 or more"),
        (
            ["warmup_epochs=45"],
            "A warm-up of 45 epochs must not exceed the 44 epochs of stage 'binary c",
        ),
        (
            ["model=QuickNetSmall", "crop_epochs=0", "initialize_from=imagenet"],
            "belongs to larq-zoo and is",
        ),
    ],
)
def test_what_cannot_be_trained(settings, says):
    recipe = configure_task(TASKS["OneHour"].load(), parse_assignments(settings))
    with pytest.raises(InvalidValueError, match=says):
        recipe.planned_stages()


@pytest.mark.parametrize(
    ("task", "settings", "says"),
    [
        (
            "BiRealNetPaper",
            ["model=ReActNet18"],
            "cannot train ReActNet18, which has no 'binary_act",
        ),
        (
            "BiRealNetPaper",
            ["crop_epochs=1"],
            "last stage trains only batch norm: give crop_epochs",
        ),
        (
            "OneHour",
            ["schedule=hold"],
            "no schedule 'hold'.*'held'.* names: constant, cosine, held",
        ),
        ("SDBNNResNet20", ["schedule=hold"], "There is no schedule 'hold'"),
        (
            "XNORNetPlusPlus",
            ["divide_every=-1"],
            "'divide_every' must be a whole number, 0 or more",
        ),
        ("OneHour", ["optimizer=lamb"], r"no optimizer 'lamb'.* Valid names: adam, sgd"),
        ("OneHour", ["decayed=kernel"], "no decayed 'kernel'; did you mean 'kernels'"),
        ("OneHour", ["momentum=1.5"], "'momentum' must be a number, 0 or more and below 1"),
        ("OneHour", ["accumulate=3"], "accumulate=3 does not divide a batch of 128"),
        ("OneHour", ["ema=1"], "'ema' must be a number, 0 or more and below 1"),
        ("OneHour", ["gradient_clip=-1"], "'gradient_clip' must be a number, 0 or more"),
        ("OneHour", ["warmup_epochs=-1"], "'warmup_epochs' must be a number, 0 or more"),
        (
            "OneHour",
            ["teacher=RealResNet20"],
            "The teacher has random weights and would not be trained",
        ),
        ("BiRealNetPaper", ["two_stages=True"], "always has four stages: remove teacher"),
        (
            "SDBNN",
            ["model=QuickNetSmall"],
            "cannot train QuickNetSmall, which has no 'binary_weights'",
        ),
    ],
)
def test_what_a_recipe_cannot_train(task, settings, says):
    with pytest.raises(ZooError, match=says):
        stages_of(task, *settings)


@pytest.mark.parametrize("recipe", ["OneHour", "SDBNN", "BiRealNet20"])
def test_an_estimator_with_a_schedule_has_it_in_other_recipes_too(recipe):
    stage = stages_of(recipe, "model=SDBNNResNet20")[-1]
    model = stage.build()
    stage.each_epoch(model, 0.5)
    assert model.get_layer("layer1.0.conv1").kernel_quantizer.ede.t.numpy() == pytest.approx(0.1)


def test_dry_run_of_fewer_images_than_a_batch(capsys):
    assert main(["train", "Demo", "--dry-run", "batch_size=100000"]) == 2
    says = "A batch of 100000 is larger than the 10000 training images: give batch_size=256"
    assert says in capsys.readouterr().err


def test_dry_run_downloads_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert main(["train", "OneHour", "--dry-run", "dataset=Cifar10", "dataset.download=True"]) == 0
    assert "Cifar10: 50,000 training images (not on disk)." in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_teacher_with_weights_is_taken_as_it_is_and_another_one_trained():
    def teacher(*settings):
        recipe = configure_task(
            TASKS["ReActNet20"].load(), parse_assignments(["dataset=Cifar10", *settings])
        )
        return recipe.stages()[0].epochs or recipe.config["teacher.weights"]

    assert teacher() == "cifar10"  # the one in the package
    assert teacher("teacher_epochs=7") == "cifar10"
    assert teacher("teacher.weights=None") == 60
    assert teacher("teacher=RealResNet20", "teacher_epochs=7") == "cifar10"  # the default one
    assert teacher("teacher=ReActNet20", "teacher_epochs=7") == 7
    with pytest.raises(InvalidValueError, match="has random weights and would not be trained"):
        teacher("teacher.weights=None", "teacher_epochs=0")


def test_the_demos_first_line_names_the_full_recipe():
    says = "images. The full recipe: lqz train ReActNet dataset.data_dir=DIR"
    assert configure_task(TASKS["Demo"].load(), {}).introduction().endswith(says)


def test_bireal_paper_goes_from_leaky_clip_to_signs_to_batch_norm():
    stages = stages_of("BiRealNetPaper", "model=BiRealNet20")
    assert [s.initialize_from for s in stages] == [None, "leaky clip", "clip", "binary"]
    leaky, clip, binary, norm = [stage.build() for stage in stages]
    assert {layer.slope for layer in leaky.layers if hasattr(layer, "slope")} == {0.1}
    assert {layer.slope for layer in clip.layers if hasattr(layer, "slope")} == {0.0}
    quantizer = binary.get_layer("layer1.0.conv1").kernel_quantizer
    assert isinstance(quantizer, lq.quantizers.MagnitudeAwareSign)
    trained = {variable.name.split("/")[-1] for variable in stages[-1].trains(norm)}
    assert trained == {"gamma:0", "beta:0"}
    assert len(list(batch_norms(norm))) == 2 * 19
    hold_signs(norm)
    kernel = norm.get_layer("layer1.0.conv1").kernel
    np.testing.assert_array_equal(np.abs(kernel.latent_variable), 1)
    with lq.context.quantized_scope(True):
        np.testing.assert_array_equal(kernel, kernel.latent_variable)


def test_error_decay_reaches_every_estimator_of_the_network():
    (stage,) = stages_of("SDBNNResNet20")
    model = stage.build()
    estimators = []
    for layer in model.layers:
        for name in ("input_quantizer", "kernel_quantizer"):
            quantizer = getattr(layer, name, None)
            quantizer = getattr(quantizer, "ede", quantizer)
            if isinstance(quantizer, EDESign):
                estimators.append(quantizer)
    assert len(estimators) == 2 * 18
    for passed, t in ((0.0, 1e-3), (0.5, 0.1), (1.0, 10.0)):
        stage.each_epoch(model, passed)
        np.testing.assert_allclose([each.t.numpy() for each in estimators], t, rtol=1e-12)
    with pytest.raises(InvalidValueError, match="start above 0 and rise"):
        error_decay(1.0, 0.1)


def test_weight_decay_of_xnor_net_acts_on_kernels_alone():
    (stage,) = stages_of("XNORNetPlusPlusResNet20")
    names = {v.name.split("/")[-1] for v in stage.decays(stage.build())}
    assert names == {"kernel:0"} and stage.weight_decay == 1e-5


def test_learning_rate_is_divided_every_25_epochs():
    (paper,) = stages_of("XNORNetPlusPlus")
    assert [paper.schedule(e / 80) for e in (0, 24, 25, 50, 75, 79)] == pytest.approx(
        [1, 1, 0.1, 0.01, 0.001, 0.001]
    )
    crops, whole = configure_task(
        TASKS["XNORNetPlusPlus"].load(),
        {
            "divide_every": 25,
            "epochs": 30,
            "crop_epochs": 30,
            "crop_size": 20,
            "batch_size": 100,
            "model": "XNORNetPlusPlusResNet20",
            "model.scale": "case1",
            "dataset": "FashionMNIST",
        },
    ).planned_stages()
    assert [crops.schedule(e / 30) for e in (24, 25)] == pytest.approx([1, 0.1])
    assert [whole.schedule(e / 30) for e in (19, 20)] == pytest.approx([0.1, 0.01])


def test_teacher_of_keras_applications_does_its_own_preprocessing():
    tf.keras.utils.set_random_seed(0)
    arguments = {"application": "ResNet50", "weights": None, "classifier_activation": None}
    teacher = construct(KerasApplicationFactory, input_shape=(64, 64, 3), **arguments)
    plain = tf.keras.applications.ResNet50(
        weights=None, input_shape=(64, 64, 3), classifier_activation=None
    )
    plain.set_weights(teacher.get_weights())
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    normalized = (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    theirs = plain(tf.keras.applications.resnet50.preprocess_input(pixels.copy())).numpy()
    ours = teacher(normalized.astype("float32")).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3 * np.abs(theirs).max())


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"application": "ResNet5"}, UnknownNameError, "did you mean 'ResNet50'"),
        ({"weights": "no/such/file"}, WeightsError, "cannot be read as weights"),
        ({"input_shape": (28, 28, 1)}, InvalidValueError, "three channels"),
    ],
)
def test_teacher_that_cannot_be_had_is_one_sentence(arguments, error, words):
    with pytest.raises(error, match=words):
        construct(KerasApplicationFactory, **{"input_shape": (64, 64, 3), **arguments})


def test_a_teacher_of_keras_applications_by_its_own_name():
    meant = "no teacher 'resnet50'; give teacher=KerasApplication teacher.application=ResNet50."
    with pytest.raises(InvalidValueError, match=meant):
        stages_of("ReActNet", "teacher=resnet50")
    with pytest.raises(UnknownNameError, match="no model 'resnet50'; did you mean"):
        stages_of("ReActNet", "model=resnet50")


def test_a_network_of_keras_applications_is_not_trained():
    with pytest.raises(UnknownNameError, match="no model 'KerasApplication'"):
        stages_of("ReActNet", "model=KerasApplication")


@pytest.mark.parametrize(
    ("task", "settings"),
    [
        # a larq-zoo network with our recipe: trained, saved and loaded
        ("XNORNetPlusPlus", QUICKNET),
        pytest.param("SDBNNResNet20", {}, marks=pytest.mark.slow),
        pytest.param("BiRealNetPaper", {"model": "BiRealNet20"}, marks=pytest.mark.slow),
        pytest.param("XNORNetPlusPlusResNet20", {}, marks=pytest.mark.slow),
        pytest.param("BiRealNet", {}, marks=pytest.mark.slow),
        pytest.param("BiRealNet20", {}, marks=pytest.mark.slow),
        pytest.param("ReActNet18", {}, marks=pytest.mark.slow),
        pytest.param("ReActNet20", {}, marks=pytest.mark.slow),
        pytest.param("XNORNetPlusPlus", {}, marks=pytest.mark.slow),
        pytest.param("SDBNN", {}, marks=pytest.mark.slow),
        pytest.param("SDBNNResNet18Cifar", {}, marks=pytest.mark.slow),
        pytest.param("SDBNNVGGSmall", {}, marks=pytest.mark.slow),
        pytest.param("RealResNet20", {}, marks=pytest.mark.slow),
    ],
)
def test_two_steps_of_every_stage(task, settings, tiny, tmp_path):
    cls = TASKS[task].load()
    general = ("dataset", "preprocessing", "epochs", "batch_size")
    conf = {key: value for key, value in tiny.items() if key.startswith(general)}
    conf |= {"first_stage_epochs": 1, "crop_epochs": 0, "output_dir": str(tmp_path / "run")}
    if configure_task(cls, {}).has_teacher:
        conf |= {"teacher": "ReActNet20", "teacher_epochs": 1, "teacher.weights": None}
    conf |= settings
    run = configure_task(cls, conf).run()
    assert all(np.isfinite(result.top1) for result in run.results)
    assert run.model_path.exists()
