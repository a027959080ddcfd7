"""Exports that are damaged, from other programs, or of another network: one sentence each."""

import json
import shutil

import numpy as np
import onnx
import pytest
import tensorflow as tf

from training import cli
from training.commands.evaluate.exported import require_same_ends
from zoo.deploy import load_export, to_onnx
from zoo.deploy.card import ExportCard, read_card, write_card
from zoo.deploy.lce.flatbuffer import read_note, with_note
from zoo.deploy.runners import keras_runner
from zoo.errors import DeployError, FileError, InvalidValueError

pytestmark = pytest.mark.usefixtures("hasty_cc", "small_networks")
keras = tf.keras.layers


def network(size: int = 8, classes: int = 3) -> tf.keras.Model:
    image = tf.keras.Input((size, size, 3))
    y = keras.Dense(classes)(keras.GlobalAveragePooling2D()(keras.Conv2D(8, 3)(image)))
    return tf.keras.Model(image, y, name="plain")


@pytest.fixture(scope="module")
def made(tmp_path_factory, hasty_cc):
    """A network's file, and some exports of it that take little time."""
    root = tmp_path_factory.mktemp("exports")
    network().save(root / "net.keras")
    for kind, name in (("c", "c"), ("openvino", "ov"), ("onnx", "m.onnx"), ("tflite", "m.tflite")):
        command = ["export", str(root / "net.keras"), "--format", kind, "-o", str(root / name)]
        assert cli.main(command) == 0
    return root


@pytest.fixture
def copy(made, tmp_path):
    """Copies of the exports, to be damaged."""
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


def refused(result, says):
    code, out, err = result
    assert code == 2 and says in err and err.startswith("Error: ") and out == "", (out, err)
    assert len(err.splitlines()) == 1


def both(lqz, path, says, image, *options):
    """Run `lqz evaluate` and `lqz predict`."""
    refused(lqz("evaluate", path, "--against", "ReActNet20", *options), says)
    refused(lqz("predict", path, image, *options), says)


@pytest.fixture
def image(tmp_path):
    from PIL import Image

    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.mark.parametrize(
    ("folder", "damage", "says"),
    [
        (
            "ov",
            lambda p: (p / "model.bin").unlink(),
            "is not a complete export: 'model.bin' is missi",
        ),
        ("ov", lambda p: (p / "model.xml").write_text("<x/>"), "'model.xml' was changed after the"),
        ("ov", lambda p: (p / "card.json").write_text("{"), "its card is damaged"),
        ("ov", lambda p: (p / "card.json").write_text("[]"), "its card is damaged"),
        (
            "ov",
            lambda p: ((p / "card.json").unlink(), (p / "model.xml").write_text("<x/>")),
            "is not a complete export: OpenVINO cannot run it: ",
        ),
        ("c", lambda p: (p / "model.json").unlink(), "'model.json' is missing"),
        ("c", lambda p: (p / "bnn.c").write_text("int x;"), "was changed after the export"),
        ("m.onnx", lambda p: p.write_bytes(p.read_bytes()[:500]), "is not a complete export: "),
        ("m.onnx", lambda p: p.write_bytes(b""), "is not a complete export: "),
        ("m.tflite", lambda p: p.write_bytes(p.read_bytes()[:500]), "is not a complete export: "),
        ("m.tflite", lambda p: p.write_bytes(b"nothing of TFLite"), "is not a complete export: "),
    ],
)
def test_half_written_and_foreign_exports(folder, damage, says, copy, image, lqz):
    damage(copy / folder)
    both(lqz, copy / folder, says, image, "--trust-program")


def test_programs_run_only_where_they_are_trusted(copy, image, lqz):
    both(lqz, copy / "c", "is unsafe: it is C source, which is compiled and run", image)
    (copy / "saved").mkdir()
    (copy / "saved" / "saved_model.pb").write_bytes(b"")
    both(
        lqz,
        copy / "saved",
        "is unsafe: it is a SavedModel, a program that runs with your rights",
        image,
    )
    both(lqz, copy / "saved", "TensorFlow cannot run it: ", image, "--trust-program")


def test_no_compiler(made, image, lqz, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    both(
        lqz,
        made / "c",
        "The compiler 'no-such-compiler' of CC is not installed",
        image,
        "--trust-program",
    )


def test_operations_of_tensorflow_in_a_tflite_file(tmp_path, image, lqz, capfd):
    """TensorFlow's own interpreter would execute them; this one reads a file."""

    @tf.function(input_signature=[tf.TensorSpec([1, 8, 8, 3])])
    def infer(images):
        content = tf.io.read_file(str(image))
        number = tf.cast(tf.strings.length(content), tf.float32)
        return tf.reduce_mean(images, [1, 2]) + number

    converter = tf.lite.TFLiteConverter.from_concrete_functions([infer.get_concrete_function()])
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.TFLITE_BUILTINS,
        tf.lite.OpsSet.SELECT_TF_OPS,
    ]
    (tmp_path / "x.tflite").write_bytes(converter.convert())
    capfd.readouterr()  # the converter's message
    both(lqz, tmp_path / "x.tflite", "is unsafe: its operation 'FlexReadFile'", image)


def test_an_onnx_file_that_names_other_files(copy, image, lqz):
    model = onnx.load(copy / "m.onnx")
    onnx.save(
        model, copy / "m.onnx", save_as_external_data=True, location="weights", size_threshold=0
    )
    assert (copy / "weights").stat().st_size
    both(lqz, copy / "m.onnx", "is unsafe: it would read other files.", image)


def test_another_network(made):
    """The network of --against takes other images, or has other classes."""
    runner = load_export(made / "m.onnx")
    require_same_ends(runner, keras_runner(network()), "net")
    for other, says in (
        (
            network(size=16),
            r"images of \(8, 8, 3\), and net of \(16, 16, 3\): they are not the same",
        ),
        (network(classes=10), "has 3 classes, and net 10: they are not the same network"),
    ):
        with pytest.raises(DeployError, match=says):
            require_same_ends(runner, keras_runner(other), "net")


def test_what_was_exported_is_not_known(made, image, lqz, tmp_path):
    refused(lqz("evaluate", made / "ov"), "was exported from net.keras of plain: give --against")
    refused(lqz("predict", made / "ov", image), "give preprocessing=imagenet or preprocessing=")
    refused(lqz("predict", made / "ov", image, "width=2"), "An export takes no arguments")
    (tmp_path / "bare.onnx").write_bytes(to_onnx(network()))
    says = "does not record its network: give --against with the run, the file"
    refused(lqz("evaluate", "bare.onnx"), says)
    assert lqz("export", "RealResNet20", "weights=none", "--format", "c", "-o", "c")[0] == 0
    refused(
        lqz("evaluate", "c"),
        "was exported with random weights of RealResNet20: it cannot be compared",
    )
    says = "was exported with random weights, which cannot classify."
    refused(lqz("predict", "c", image, "--trust-program"), says)


def test_options_of_exports_alone(made, lqz):
    for option in (["--against", "ReActNet20"], ["--trust-program"]):
        says = f"{option[0]} is for exports, but '{made / 'net.keras'}' is not an export."
        refused(lqz("evaluate", made / "net.keras", *option), says)
    refused(lqz("evaluate", made / "ov", "--picture", "x.png"), "--picture is for a Keras network")
    refused(
        lqz("export", made / "net.keras", "--format", "onnx", "-o", "x.tflite"),
        "--format onnx writes an .onnx file, not 'x.tflite'.",
    )


def test_in_python(made, tmp_path):
    with pytest.raises(DeployError, match="was not written by `lqz export`"):
        load_export(tmp_path)
    with pytest.raises(FileError, match=r"give --trust-program \(trusted=True\)"):
        load_export(made / "c")
    runner = load_export(made / "m.onnx")
    for images in (
        np.zeros((1, 8, 8, 1), np.float32),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((1, 8, 8, 3), np.uint8),
    ):
        with pytest.raises(InvalidValueError, match=r"takes float32 images \(batch, 8, 8, 3\), no"):
            runner(images)
    flat = tf.keras.Input((4,), name="flat")
    (tmp_path / "flat.onnx").write_bytes(to_onnx(tf.keras.Model(flat, keras.Dense(2)(flat))))
    with pytest.raises(DeployError, match="is not an image classifier"):
        load_export(tmp_path / "flat.onnx")


def test_a_card_names_files_of_its_own_folder_alone(tmp_path):
    (tmp_path / "model.xml").write_text("")
    write_card(tmp_path, ExportCard("A"), ["model.xml"])
    found = json.loads((tmp_path / "card.json").read_text())
    (tmp_path / "card.json").write_text(json.dumps({**found, "files": {"../x": "0"}}))
    with pytest.raises(DeployError, match="its card lists files outside the export"):
        read_card(tmp_path, "openvino")
    (tmp_path / "card.json").write_text(json.dumps({**found, "set": 3}))
    with pytest.raises(DeployError, match="its card is damaged"):
        read_card(tmp_path, "openvino")


def test_notes_in_a_flatbuffer(made):
    content = (made / "m.tflite").read_bytes()
    assert read_note(content, "other") is None
    text = "two lines\nand an \u00e9"
    assert read_note(with_note(content, "other", text), "other") == text
