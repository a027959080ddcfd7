"""Models that cannot be exported to C or compiled: one sentence for each, and no files remain."""

import json
import os

import larq as lq
import numpy as np
import pytest
import tensorflow as tf

import zoo
from training import cli
from zoo.deploy import load_c, to_c
from zoo.errors import DeployError, InvalidValueError
from zoo.layers import BatchNorm, RPReLU, SymmetricConv2D

layers = tf.keras.layers


def model_of(*chosen, shape=(4, 4, 6), name="net"):
    return tf.keras.Sequential([tf.keras.Input(shape), *chosen], name=name)


def sentence(error):
    text = str(error.value)
    assert text.endswith(".") and "\n" not in text
    return text


class Shifted(RPReLU):
    def call(self, inputs):
        return super().call(inputs) + 5


class Sharper(BatchNorm):
    def call(self, inputs, training=None):
        return super().call(inputs, training=training) + 7


class Tripled(layers.Dense):
    def call(self, inputs):
        return 3 * super().call(inputs)


class Doubled(SymmetricConv2D):
    def convolution_op(self, inputs, kernel):
        return 2 * super().convolution_op(inputs, kernel)


class Renamed(SymmetricConv2D):
    """Changes nothing."""


def relu(x):
    return -x


def replaced():
    layer = layers.Dense(2, name="mine")
    layer.call = lambda inputs: inputs
    return layer


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (lambda: layers.UpSampling2D(name="mine"), "UpSampling2D are not supported"),
        (
            lambda: layers.Lambda(lambda x: 2 * x, name="mine"),
            "only supported if it returns its input",
        ),
        (lambda: layers.Activation("hard_sigmoid", name="mine"), "activation 'hard_sigmoid'"),
        (lambda: layers.Activation(relu, name="mine"), "activation 'relu'"),
        (lambda: layers.PReLU(name="mine"), "one slope per channel"),
        (lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, name="mine"), "depth_multiplier"),
        (
            lambda: SymmetricConv2D(
                4, 3, groups=2, input_quantizer="ste_sign", kernel_quantizer="ste_sign", name="mine"
            ),
            "a grouped binary",
        ),
        (
            lambda: lq.layers.QuantConv2D(
                4, 3, input_quantizer="dorefa_quantizer", kernel_quantizer="ste_sign", name="mine"
            ),
            "not a sign",
        ),
        (lambda: Shifted(name="mine"), r"Shifted changes what RPReLU computes \(call\)"),
        (lambda: Sharper(name="mine"), r"Sharper changes what BatchNorm computes \(call\)"),
        (lambda: Tripled(2, name="mine"), r"Tripled changes what Dense computes \(call\)"),
        (lambda: Doubled(4, 3, name="mine"), r"SymmetricConv2D computes \(convolution_op\)"),
        (replaced, r"methods were replaced on this layer \(call\)"),
    ],
)
def test_layers_are_refused_by_name_before_anything_is_written(layer, text, tmp_path):
    with pytest.raises(DeployError, match=f"'mine' cannot be exported to C: .*{text}") as error:
        to_c(model_of(layer()), tmp_path / "a" / "b")
    sentence(error)
    assert not any(tmp_path.iterdir())


def test_a_subclass_that_changes_nothing_is_its_base(tmp_path):
    model = model_of(Renamed(4, 3, strides=2, name="conv"))
    same = model_of(SymmetricConv2D(4, 3, strides=2, name="conv"))
    same.set_weights(model.get_weights())
    texts = [
        (to_c(each, tmp_path / str(i)).directory / "net.c").read_text()
        for i, each in enumerate((model, same))
    ]
    assert texts[0] == texts[1]


def test_several_inputs_or_outputs(tmp_path):
    image = tf.keras.Input((4, 4, 3))
    model = tf.keras.Model(image, [layers.Dense(2)(image), layers.Dense(3)(image)])
    with pytest.raises(DeployError, match=r"one input and one output .* with 1 and 2") as error:
        to_c(model, tmp_path / "c")
    sentence(error)


@pytest.mark.parametrize("name", ["my-net", "2nd", "", "int", "class", "_net", "bnn", "a b", "né"])
def test_names_that_are_no_identifiers(name, tmp_path):
    with pytest.raises(DeployError, match=f"'{name}' is not a name in C") as error:
        to_c(model_of(layers.ReLU()), tmp_path / "c", name=name)
    sentence(error)
    assert not any(tmp_path.iterdir())


def test_networks_too_large_for_a_memory(tmp_path, lqz):
    model = model_of(layers.Conv2D(16, 3), shape=(32, 32, 16))
    export = to_c(model, tmp_path / "fits")
    fits = {"ram": export.workspace, "flash": export.constants}
    to_c(model, tmp_path / "fits", **fits)
    for what, text in (("ram", "a workspace of .* of RAM"), ("flash", "constants, .* of flash")):
        with pytest.raises(DeployError, match=text) as error:
            to_c(model, tmp_path / "c", **{what: fits[what] - 1})
        assert f"{fits[what]:,} bytes" in sentence(error)
    assert not (tmp_path / "c").exists()
    code, _, err = lqz(
        "export", "ReActNet20", "weights=None", "--format", "c", "-o", "c", "--ram", "65536"
    )
    assert code == 2 and "more than 65,536 bytes of RAM." in err and "Traceback" not in err


def test_class_names_of_another_number(tmp_path):
    with pytest.raises(InvalidValueError, match=r"2 class names were given for 6 outputs"):
        to_c(model_of(layers.ReLU()), tmp_path / "c", classes=["a", "b"])


def test_directories(tmp_path, monkeypatch):
    model = model_of(layers.ReLU(), shape=(4, 4, 16))
    (tmp_path / "file").write_text("mine")
    for taken in ("file", "file/under"):
        with pytest.raises(
            DeployError, match=r"file.*(is not a directory|cannot be written)"
        ) as error:
            to_c(model, tmp_path / taken)
        sentence(error)
    with pytest.raises(DeployError, match="holds files that do not belong") as error:
        to_c(model, tmp_path)
    sentence(error)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file"]

    (tmp_path / "empty").mkdir()
    first = to_c(model, tmp_path / "empty", name="first").directory
    again = to_c(model, tmp_path / "empty", name="second").directory
    assert (again / "second.c").is_file() and not (first / "first.c").exists()

    # After a write that fails in the middle, only the earlier export is there, unchanged.
    from zoo.deploy.c import write

    def fails(path, value):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write.files, "write_json", fails)
    for target in (tmp_path / "empty", tmp_path / "new" / "deep"):
        with pytest.raises(DeployError, match="cannot be written: No space left") as error:
            to_c(model, target, name="third")
        sentence(error)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["empty", "file"]
    assert (again / "second.c").is_file()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_may_not_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DeployError, match="cannot be written: Permission denied") as error:
        to_c(model_of(layers.ReLU()), tmp_path / "c")
    sentence(error)


def test_no_compiler_and_one_that_fails(tmp_path, monkeypatch):
    folder = to_c(model_of(layers.ReLU(), shape=(4, 4, 16)), tmp_path / "c").directory
    monkeypatch.setenv("CC", "no-such-compiler -O2")
    with pytest.raises(DeployError, match="'no-such-compiler' of CC is not installed") as error:
        load_c(folder)
    sentence(error)
    monkeypatch.setenv("CC", "false")
    with pytest.raises(DeployError, match="'false' could not compile") as error:
        load_c(folder)
    sentence(error)
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeployError, match="A C compiler is not installed: install gcc") as error:
        load_c(folder)
    sentence(error)


def test_directories_that_are_no_complete_export(tmp_path):
    folder = to_c(model_of(layers.ReLU(), shape=(4, 4, 16)), tmp_path / "c").directory
    manifest = folder / "model.json"
    whole = manifest.read_text()
    for text in ("", "{", "[]", json.dumps({"format": 99})):
        manifest.write_text(text)
        with pytest.raises(DeployError, match=r"no readable model\.json") as error:
            load_c(folder)
        sentence(error)
    manifest.write_text(whole)
    (folder / "net.h").write_text("")
    with pytest.raises(DeployError, match=r"net.h' was changed after the export"):
        load_c(folder)
    (folder / "bnn.h").unlink()
    with pytest.raises(DeployError, match=r"'bnn.h' is missing"):
        load_c(folder)
    with pytest.raises(DeployError, match="not a complete export"):
        load_c(tmp_path / "nothing")


def test_images_of_other_shapes(tmp_path):
    network = load_c(
        to_c(model_of(layers.ReLU(), shape=(4, 4, 16)), tmp_path / "c").directory, flags=("-O0",)
    )
    with pytest.raises(InvalidValueError, match=r"\(4, 4, 16\), or a batch .* not \(1, 4, 4, 3\)"):
        network(np.zeros((1, 4, 4, 3)))
    with pytest.raises(InvalidValueError, match="takes float32 images, not bytes"):
        network(np.zeros((4, 4, 16), np.uint8))
    assert network(np.zeros((0, 4, 4, 16))).shape == (0, 4, 4, 16)


# --- the command line -----------------------------------------------------------------------------


def test_export_command(hasty_cc, tmp_path, capfd):
    words = ["export", "ReActNet20", "weights=cifar10", "--format", "c", "-o"]
    assert cli.main([*words, str(tmp_path / "c")]) == 0
    out, err = capfd.readouterr()
    assert "18 binary convolutions" in out and err == ""
    network = load_c(tmp_path / "c")
    assert network.classes[3] == "cat"
    model = zoo.ReActNet20(classifier_activation=None)
    image = np.random.default_rng(0).normal(size=(32, 32, 3)).astype(np.float32)
    assert np.allclose(network(image), model(image[None], training=False)[0], rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--name", "a-b", "--format", "c"], "'a-b' is not a name in C"),
        (["--name", "ab", "--format", "tflite"], "--name is for --format c, not tflite"),
        (["--format", "c"], "holds files that do not belong"),
    ],
)
def test_export_command_with_bad_input(options, text, tmp_path, capfd):
    (tmp_path / "mine").write_text("")
    target = tmp_path if options == ["--format", "c"] else tmp_path / "c"
    assert cli.main(["export", "ReActNet20", *options, "-o", str(target)]) == 2
    assert text in capfd.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["mine"]
