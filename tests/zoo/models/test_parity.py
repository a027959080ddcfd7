"""Our networks compared with numbers from the authors' PyTorch code (tests/golden/README.md)."""

import functools
import json
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from reduce import thin
from reference_state import make_input, make_state, state_digest

import zoo
from zoo.errors import WeightsError
from zoo.quantizers import ScaledSign, SelfDistributionSign
from zoo.weights import load_torch_state, torch_state
from zoo.weights.torch_layout import entries

GOLDEN = Path(__file__).parents[2] / "golden"
MODELS = {
    "reactnet_a": "ReActNetA",
    "reactnet_birealnet18": "ReActNet18",
    "reactnet_birealnet34": "ReActNet34",
    "birealnet18": "BiRealNet18",
    "birealnet34": "BiRealNet34",
    "birealnet50": "BiRealNet50",
    "sdbnn_resnet18_imagenet": "SDBNNResNet18",
    "sdbnn_resnet34_imagenet": "SDBNNResNet34",
    "sdbnn_resnet18_cifar": "SDBNNResNet18Cifar",
    "sdbnn_resnet20_cifar": "SDBNNResNet20",
    "sdbnn_vgg_small_cifar": "SDBNNVGGSmall",
}
LISTINGS = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((GOLDEN / "listings").glob("*.json"))
}
NUMBERED = sorted(path.stem for path in GOLDEN.glob("*.npz"))

# The name of a block's end in our layers, by the beginning of the listing's name.
BLOCK_END = {
    "reactnet_birealnet": "{}.rprelu",
    "birealnet": "{}.add",
    "sdbnn_resnet18_imagenet": "{}.prelu",
    "sdbnn_resnet20": "{}.hardtanh2",
}
# Keys of the authors' modules that they never use, as a pattern.
UNUSED = {
    "birealnet50": r"^layers\.0\.down_conv1x1\.weight$",
    "sdbnn_resnet18_imagenet_stage1": r"\.alpha$",
}
# The slow tier tests large networks without stored numbers: float64 takes minutes. Stage 1 of
# ReActNet differs from stage 2 only in its real weights.
SLOW = {*LISTINGS} - {*NUMBERED, "sdbnn_vgg_small_cifar"} | {"reactnet_birealnet18_stage1"}


def in_tiers(names: Iterable[str]) -> list:
    return [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in names]


def test_every_listing_and_every_file_of_numbers_is_tested():
    assert len(LISTINGS) == 14
    assert {name.removesuffix("_stage1") for name in LISTINGS} == set(MODELS)
    assert len(NUMBERED) == 5 and set(NUMBERED) <= set(LISTINGS)


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    assert ours.shape == theirs.shape
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def build(name: str, image_shape=None) -> tf.keras.Model:
    """Return our model for a listing; `image_shape` is NCHW."""
    _, channels, height, width = image_shape or LISTINGS[name]["input_shape"]
    return zoo.get_model(
        MODELS[name.removesuffix("_stage1")],
        weights=None,
        classifier_activation=None,
        binary_weights=not name.endswith("_stage1"),
        input_shape=(height, width, channels),
    )


def loaded(name: str, image_shape=None) -> tf.keras.Model:
    model = build(name, image_shape)
    load_torch_state(model, make_state(LISTINGS[name], 0))
    return model


def images(shape, seed: int) -> tf.Tensor:
    return tf.constant(make_input(shape, seed).transpose(0, 2, 3, 1), tf.keras.backend.floatx())


def binary_layers(model: tf.keras.Model) -> dict[str, tf.keras.layers.Layer]:
    return {
        layer.name: layer
        for layer in model.layers
        if getattr(layer, "input_quantizer", None) is not None
    }


def train_run(model, x: tf.Tensor) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return training's logits, and gradients of `sum(logits * cotangent)` by the authors' keys."""
    variables = {
        entry.key: (entry, getattr(entry.variable, "latent_variable", entry.variable))
        for entry in entries(model)
        if entry.variable is not None and entry.variable.trainable
    }
    with tf.GradientTape() as tape:
        logits = model(x, training=True)
        cotangent = tf.cast(make_input(logits.shape, 2), logits.dtype)
        total = tf.reduce_sum(logits * cotangent)
    gradients = tape.gradient(total, {key: variable for key, (_, variable) in variables.items()})
    return logits.numpy(), {
        key: variables[key][0].to_torch(gradient.numpy()) for key, gradient in gradients.items()
    }


class Float64:
    """Let Keras compute in float64 in the block."""

    def __enter__(self):
        self.before = tf.keras.backend.floatx()
        # A policy that an earlier test set by name would override floatx.
        tf.keras.mixed_precision.set_global_policy(None)
        tf.keras.backend.set_floatx("float64")

    def __exit__(self, *_):
        tf.keras.backend.set_floatx(self.before)


def end_of(name: str, module: str) -> str:
    """Return our layer with the same output as the authors' module."""
    if module == "maxpool":
        return module
    if module == "layer1":  # its input: the stem
        return "hardtanh"
    return next(end for start, end in BLOCK_END.items() if name.startswith(start)).format(module)


@functools.cache
def float64_eval(name: str) -> dict:
    """Compare logits, the share of positive values before each sign, and stored intermediates."""
    listing = LISTINGS[name]
    with Float64():
        model = loaded(name)
        order = [key.rpartition(".")[0] for key in listing["binary_convs"]]
        signs = {id(model.get_layer(each).input): model.get_layer(each).input for each in order}
        wanted = {}
        if name in NUMBERED:
            wanted = {
                where: model.get_layer(end_of(name, facts["module"])).output
                for where, facts in listing["intermediates"].items()
            }
        probe = tf.keras.Model(
            model.input, {"logits": model.output, "signs": list(signs.values()), **wanted}
        )
        found = probe(images(listing["input_shape"], 1), training=False)
    intermediates = {}
    for where in wanted:
        facts = listing["intermediates"][where]
        full = found[where].numpy().transpose(0, 3, 1, 2)
        assert list(full.shape) == facts["full_shape"]
        every = int(re.fullmatch(r"\[:1, ::(\d+)\]", facts["stored"]).group(1))
        intermediates[where] = thin(full[:1, ::every])
    return {
        "logits": found["logits"].numpy(),
        "positive": [float(np.mean(sign.numpy() > 0)) for sign in found["signs"]],
        "intermediates": intermediates,
    }


@functools.cache
def float64_train(name: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Compare logits, and gradients of the keys with a norm in the listing."""
    with Float64():
        model = loaded(name)
        logits, gradients = train_run(model, images(LISTINGS[name]["grad_input_shape"], 1))
    return logits, {key: gradients[key] for key in LISTINGS[name]["checks"]["grad_norm_f64"]}


@pytest.mark.parametrize("name", in_tiers(NUMBERED))
class TestNumbers:
    def test_logits_and_intermediates_in_float64(self, name):
        numbers, ours = np.load(GOLDEN / f"{name}.npz"), float64_eval(name)
        assert relative(ours["logits"], numbers["logits_f64"]) < 1e-6
        stored = {key.split(":")[1] for key in numbers.files if key.startswith("intermediate:")}
        assert stored == set(ours["intermediates"]) and len(stored) == 4
        for where in stored:
            assert relative(ours["intermediates"][where], numbers[f"intermediate:{where}"]) < 1e-6

    def test_gradients_in_float64(self, name):
        numbers, (logits, gradients) = np.load(GOLDEN / f"{name}.npz"), float64_train(name)
        assert relative(logits, numbers["train_logits_f64"]) < 1e-6
        stored = [key for key in numbers.files if key.startswith("grad:")]
        assert stored
        for key in stored:
            assert relative(thin(gradients[key.removeprefix("grad:")]), numbers[key]) < 1e-5, key

    @pytest.mark.slow
    def test_small_case_in_float32(self, name):
        numbers, small = np.load(GOLDEN / f"{name}.npz"), LISTINGS[name]["small"]
        shape, seed = small["eval"]["input_shape"], small["eval"]["input_seed"]
        model = loaded(name, shape)
        logits = model(images(shape, seed), training=False).numpy()
        assert logits.dtype == np.float32
        assert relative(logits, numbers["small:logits_f64"]) < 1e-5
        train = small["train"]
        logits, gradients = train_run(model, images(train["input_shape"], train["input_seed"]))
        assert relative(logits, numbers["small:train_logits_f64"]) < 1e-5
        stored = [key for key in numbers.files if key.startswith("small:grad:")]
        assert stored
        for key in stored:
            ours = thin(gradients[key.removeprefix("small:grad:")])
            assert relative(ours, numbers[key]) < 1e-4, key


@pytest.mark.parametrize("name", in_tiers(LISTINGS))
class TestRecordedChecks:
    def test_every_sign_sees_the_authors_share_of_positive_values(self, name):
        theirs = np.array(LISTINGS[name]["positive_fraction"])  # has four digits
        np.testing.assert_allclose(float64_eval(name)["positive"], theirs, rtol=0, atol=5.1e-5)

    def test_spread_of_the_logits(self, name):
        theirs = LISTINGS[name]["checks"]["logits_std"]
        assert float64_eval(name)["logits"].std() == pytest.approx(theirs, rel=1e-6)

    def test_norms_of_gradients(self, name):
        _, gradients = float64_train(name)
        for key, norm in LISTINGS[name]["checks"]["grad_norm_f64"].items():
            assert np.linalg.norm(gradients[key]) == pytest.approx(norm, rel=1e-6), key


@pytest.mark.parametrize("name", in_tiers(LISTINGS), scope="class")
class TestState:
    @pytest.fixture(scope="class")
    def model(self, name):
        return build(name, (1, 3, 32, 32))

    def test_binary_convolutions_are_the_authors(self, name, model):
        kinds = {
            "real": type(None),
            "scaled sign": ScaledSign,
            "shifted sign": SelfDistributionSign,
        }
        layers, listed = binary_layers(model), LISTINGS[name]["binary_convs"]
        assert set(layers) == {key.rpartition(".")[0] for key in listed}
        for key, facts in listed.items():
            layer = layers[key.rpartition(".")[0]]
            height, width, inputs, outputs = layer.kernel.shape
            assert [outputs, inputs, height, width] == facts["oihw"], key
            assert layer.strides == (facts["stride"],) * 2, key
            assert layer.padding == "same" and height // 2 == width // 2 == facts["padding"], key
            assert type(layer.kernel_quantizer) is kinds[facts["weights"]], key
            assert not layer.use_bias and layer.dilation_rate == (1, 1) and layer.groups == 1, key

    def test_parameter_count(self, name, model):
        buffers = ("running_mean", "running_var", "num_batches_tracked")
        sizes = [
            int(np.prod(entry.shape)) for entry in entries(model) if not entry.key.endswith(buffers)
        ]
        assert sum(sizes) == LISTINGS[name]["params"]

    @pytest.mark.parametrize("seed", [0, 1])
    def test_round_trip(self, name, model, seed):
        state = make_state(LISTINGS[name], seed)
        if seed == 0:
            assert state_digest(state) == LISTINGS[name]["state_sha256_seed0"]
        for variable in model.weights:
            variable = getattr(variable, "latent_variable", variable)
            variable.assign(tf.fill(variable.shape, tf.constant(np.nan, variable.dtype)))
        load_torch_state(model, state)
        again = torch_state(model)
        assert set(again) == set(state)
        unused = {entry.key for entry in entries(model) if entry.variable is None}
        for key, value in state.items():
            assert again[key].shape == value.shape and again[key].dtype == value.dtype, key
            assert key in unused or np.array_equal(again[key], value), key
        counters = {key for key in unused if key.endswith("num_batches_tracked")}
        never_used = {key for key in state if re.search(UNUSED.get(name, "^$"), key)}
        assert unused - counters == never_used and bool(never_used) == (name in UNUSED)

    def test_what_does_not_fit_is_named_and_changes_nothing(self, model):
        state = torch_state(model)
        state = {key: np.zeros_like(value) for key, value in state.items()}
        first, *_, last = (key for key in state if state[key].ndim > 1)
        before = model.get_weights()
        broken = state[last].copy()
        broken.flat[-1] = np.nan
        for change, named in [
            ({first: None}, f"1 missing \\({re.escape(first)}\\)"),
            ({"no.such.key": np.zeros(3)}, "1 left over \\(no.such.key\\)"),
            ({last: state[last][1:]}, re.escape(last)),
            ({last: state[last].T}, re.escape(last)),
            ({last: broken}, f"NaN.*{re.escape(last)}"),
        ]:
            wrong = {key: value for key, value in {**state, **change}.items() if value is not None}
            with pytest.raises(WeightsError, match=named) as error:
                load_torch_state(model, wrong)
            assert "\n" not in str(error.value)
        for ours, earlier in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(ours, earlier)
