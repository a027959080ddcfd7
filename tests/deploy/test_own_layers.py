"""The user's own layers: exported with the same results, or refused by name."""

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from chains import SIGNS, chain, compare, in_lce, in_openvino, in_tflite

from zoo.deploy import to_c, to_lce, to_openvino
from zoo.deploy.c.layers import build_graph
from zoo.deploy.c.reference import check_graph
from zoo.deploy.c.rules import RULES
from zoo.deploy.lce.export import to_tflite
from zoo.deploy.openvino import export as openvino_export
from zoo.errors import DeployError
from zoo.layers import (
    BatchNorm,
    LeakyClip,
    LearnedScale,
    RPReLU,
    SubsamplePad,
    SymmetricConv2D,
    SymmetricMaxPool2D,
)

keras = tf.keras.layers


class Raised(RPReLU):
    def call(self, inputs):
        return super().call(inputs) + 5


class Moved(keras.BatchNormalization):
    def call(self, inputs, training=None):
        return super().call(inputs, training=training) + 7


class MovedOurs(BatchNorm):
    def call(self, inputs, training=None):
        return super().call(inputs, training=training) + 7


class Tripled(keras.Dense):
    def call(self, inputs):
        return super().call(inputs) * 3


class Doubled(keras.Conv2D):
    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, kernel) * 2


class DoubledSigns(lq.layers.QuantConv2D):
    def call(self, inputs):
        return super().call(inputs) * 2


class Halving(keras.Dropout):
    def call(self, inputs, training=None):
        return inputs / 2


class Wrapped(keras.ReLU):
    def __call__(self, *args, **kwargs):
        return super().__call__(*args, **kwargs) + 1


class Same(SymmetricConv2D):
    """Nothing of its own."""


class OnlyMade(SymmetricConv2D):
    """A layer with another constructor and configuration that computes the same."""

    def __init__(self, filters=8, **kwargs):
        super().__init__(filters, 3, strides=2, **{"name": "mine", **SIGNS, **kwargs})
        self.remark = "mine"

    def build(self, input_shape):
        super().build(input_shape)
        self.counter = self.add_weight("counter", shape=(), trainable=False)

    def get_config(self):
        return {**super().get_config(), "remark": self.remark}


class TwiceTheModel(tf.keras.Model):
    def call(self, inputs, training=None, mask=None):
        return 2 * super().call(inputs)


class OwnTraining(tf.keras.Model):
    def train_step(self, data):
        return {}


def relu(x):
    return 2 * tf.nn.relu(x)


CHANGED = {
    "RPReLU": lambda: [Raised(name="mine")],
    "BatchNormalization": lambda: [Moved(name="mine")],
    "BatchNorm": lambda: [MovedOurs(name="mine")],
    "Dense": lambda: [keras.Flatten(), Tripled(4, name="mine")],
    "Conv2D": lambda: [Doubled(4, 3, name="mine")],
    "QuantConv2D": lambda: [DoubledSigns(8, 3, padding="same", name="mine", **SIGNS)],
    "Dropout": lambda: [Halving(0.5, name="mine")],
    "ReLU": lambda: [Wrapped(name="mine")],
}


@pytest.mark.parametrize("base", CHANGED)
def test_openvino_refuses_what_changes_a_layer(base):
    with pytest.raises(DeployError, match=f"'mine' .* changes what {base} computes") as error:
        to_openvino(chain(*CHANGED[base]()))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("base", [name for name in CHANGED if name != "QuantConv2D"])
def test_tensorflow_lite_runs_the_users_code(base):
    compare(in_tflite, chain(*CHANGED[base]()))


def test_larq_compute_engine_runs_the_users_code():
    layers = [*CHANGED["QuantConv2D"](), Raised(), MovedOurs(), Doubled(4, 3)]
    compare(in_lce, chain(*layers))


@pytest.mark.parametrize("run", [in_openvino, in_tflite, in_lce])
@pytest.mark.parametrize(
    "make",
    [lambda: Same(8, 3, strides=2), lambda: Same(8, 3, strides=2, **SIGNS), OnlyMade],
    ids=["real", "binary", "made otherwise"],
)
def test_a_subclass_that_changes_nothing_is_its_base(run, make):
    compare(run, chain(make()))


def test_a_method_set_on_one_object_is_seen():
    dense = keras.Dense(3, name="mine")
    dense.call = lambda x: 3 * tf.matmul(x, dense.kernel)
    with pytest.raises(
        DeployError, match=r"'mine' .* methods were replaced on this layer \(call\)"
    ):
        to_openvino(chain(keras.Flatten(), dense))


def test_a_function_of_a_known_name_is_not_that_function():
    with pytest.raises(DeployError, match=r"'mine' .* is not Keras's own 'relu'"):
        to_openvino(chain(keras.Dense(3, activation=relu, name="mine"), shape=(4,)))
    compare(in_tflite, chain(keras.Dense(3, activation=relu), shape=(4,)))


@pytest.mark.parametrize("convert", [to_openvino, to_tflite, to_lce])
def test_models_with_a_call_of_their_own(convert):
    inner = chain(keras.ReLU(), kind=TwiceTheModel)
    for model in (inner, chain(inner)):
        with pytest.raises(DeployError, match="class TwiceTheModel has a 'call' of its own"):
            convert(model)


def test_a_model_with_a_training_of_its_own():
    compare(in_openvino, chain(keras.ReLU(), kind=OwnTraining))


@pytest.mark.parametrize("convert", [to_openvino, to_tflite])
def test_training_in_inference_is_refused(convert):
    norm = keras.BatchNormalization(name="mine")
    with pytest.raises(DeployError, match=r"'mine' .* called with training=True"):
        convert(chain(lambda x: norm(x, training=True)))


def test_operations_between_layers():
    model = chain(lambda x: x * 2.0 + 1, tf.nn.softmax, lambda x: x[:, 1:3], keras.Conv2D(2, 1))
    for run in (in_tflite, in_lce):
        compare(run, model)
    with pytest.raises(
        DeployError, match=r"'tf.math.multiply\w*'.*class TFOpLambda are not supported"
    ):
        to_openvino(model)


def test_layers_that_do_nothing_at_inference():
    layers = [keras.Rescaling(1 / 255), keras.RandomFlip(), keras.GaussianNoise(1.0)]
    for run in (in_openvino, in_tflite):
        compare(run, chain(*layers, keras.ActivityRegularization(l2=0.1), keras.Conv2D(2, 1)))
    model = chain(*layers, keras.RandomZoom(0.1), keras.Conv2D(2, 1))
    assert check_graph(model, *build_graph(model)) < 1e-6


def test_a_conversion_prints_nothing(capfd):
    to_tflite(chain(keras.Conv2D(2, 1)))
    assert capfd.readouterr() == ("", "")


def test_what_a_converter_does_not_know_is_one_sentence():
    class Turned(SymmetricMaxPool2D):
        def call(self, inputs):
            return -super().call(inputs)  # explicit padding, which the runtime does not support

    for convert in (to_tflite, to_lce):
        with pytest.raises(DeployError, match=r"may not know these layers: mine\.$") as error:
            convert(chain(Turned(name="mine")))
        assert "\n" not in str(error.value)


def test_the_safety_net_names_the_layer_that_differs(monkeypatch):
    """A bug in the export that no rule covers."""
    builders = openvino_export._builders()
    monkeypatch.setitem(builders, keras.ReLU, builders[keras.Flatten])
    model = chain(keras.Conv2D(4, 3), keras.Flatten(), keras.ReLU(name="mine"), keras.Dense(3))
    with pytest.raises(DeployError, match=r"'mine' \(ReLU\) would be exported wrongly.* by \d"):
        to_openvino(model)


def test_the_safety_net_of_c_needs_no_compiler(monkeypatch, tmp_path):
    monkeypatch.setitem(RULES, keras.ReLU, RULES[keras.Flatten])
    model = chain(keras.Conv2D(4, 3), keras.Flatten(), keras.ReLU(name="mine"), keras.Dense(3))
    with pytest.raises(DeployError, match=r"'mine' \(ReLU\) would be exported wrongly.* by \d"):
        to_c(model, tmp_path / "c")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["openvino", "c"])
def test_a_function_that_a_layer_keeps_in_an_attribute(form, tmp_path):
    """The layer overrides no method: only running it shows that it computes something else."""

    class Doubled(keras.MaxPooling2D):
        def __init__(self, **options):
            super().__init__(**options)
            self.pool_function = lambda x, *_, **__: 2 * tf.nn.max_pool2d(x, 2, 2, "VALID")

    with pytest.raises(DeployError, match=r"'mine' \(Doubled\) would be exported wrongly"):
        model = chain(Doubled(name="mine"))
        to_openvino(model) if form == "openvino" else to_c(model, tmp_path / "c")


@pytest.mark.parametrize(
    "layer",
    [
        keras.AveragePooling2D(3, 2, "same"),
        keras.Concatenate(),
        keras.Conv2D(32, 3, groups=2, dilation_rate=2, activation="gelu"),
        keras.DepthwiseConv2D(3, (2, 2), padding="same", activation="selu"),
        keras.Permute((3, 1, 2)),
        keras.Softmax(),
        LeakyClip(),
        LearnedScale("case3"),
        lq.layers.QuantConv2D(
            16,
            3,
            padding="same",
            pad_values=1,
            input_quantizer="ste_sign",
            kernel_quantizer="magnitude_aware_sign",
        ),
        lq.layers.QuantConv2D(16, 3, padding="same", input_quantizer="ste_sign"),
        SubsamplePad(24, 2),
        SymmetricMaxPool2D(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_the_graph_of_c_computes_what_keras_does(layer):
    image = tf.keras.Input((9, 8, 16))
    model = tf.keras.Model(image, layer([image, image] if "oncat" in layer.name else image))
    draws = np.random.default_rng(1)
    model.set_weights([draws.normal(size=each.shape) for each in model.get_weights()])
    assert check_graph(model, *build_graph(model)) < 1e-6


# --- several inputs and outputs -------------------------------------------------------------------
