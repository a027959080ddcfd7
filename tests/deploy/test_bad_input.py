"""Models that cannot be exported or run: one sentence for each."""

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import zoo
from training import cli
from zoo.deploy import (
    check_compiled,
    compile_openvino,
    cpu,
    save_openvino,
    to_lce,
    to_onnx,
    to_openvino,
)
from zoo.errors import DeployError, DeployWarning, InvalidValueError, ZooError
from zoo.layers import SymmetricConv2D

ROOT = Path(__file__).parents[2]
BOTH = pytest.mark.parametrize("convert", [to_openvino, to_lce])


def sentence(error):
    text = str(error.value)
    assert text.endswith(".") and "\n" not in text
    return text


class Subclass(tf.keras.Model):
    def call(self, inputs):
        return inputs


def open_size():
    return zoo.ReActNet20(weights=None, input_shape=(None, None, 3), include_top=False)


@BOTH
@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            open_size,
            r"input shape \(None, None, None, 3\) is not fixed.*input_shape=\(224, 224, 3\)",
        ),
        (lambda: tf.keras.Sequential([tf.keras.layers.Dense(2)]), "is not built: first call it"),
        (Subclass, "is not built.*a subclass of tf.keras.Model cannot be exported"),
        (lambda: "ReActNetA", "Only a tf.keras.Model can be exported, not str"),
    ],
)
def test_models_that_are_none(convert, make, text):
    with pytest.raises(DeployError, match=text) as error:
        convert(make())
    sentence(error)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (
            tf.keras.layers.Lambda(lambda x: 2 * x, name="mine"),
            "'mine' .* only supported if it returns its input",
        ),
        (tf.keras.layers.UpSampling2D(name="mine"), "'mine' .* UpSampling2D are not supported"),
        (tf.keras.layers.Dense(2, name="mine"), "'mine' .* input is a feature map of 4x4 pixels"),
        (tf.keras.layers.Activation("hard_sigmoid", name="mine"), "activation 'hard_sigmoid'"),
    ],
)
def test_unsupported_layers_are_named(layer, text):
    model = tf.keras.Sequential([tf.keras.Input((4, 4, 6)), layer])
    with pytest.raises(DeployError, match=text) as error:
        to_openvino(model)
    sentence(error)


@pytest.mark.parametrize(
    ("options", "channels", "text"),
    [
        ({}, 3, r"odd number of input channels \(3\)"),
        ({"groups": 2}, 8, "a grouped binary convolution is not supported"),
        ({"input_quantizer": "dorefa_quantizer"}, 8, "its input quantizer is not a sign"),
    ],
)
def test_unsupported_binary_convolutions_are_named(options, channels, text):
    signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
    layer = SymmetricConv2D(8, 3, name="mine", **{**signs, **options})
    model = tf.keras.Sequential([tf.keras.Input((4, 4, channels)), layer])
    with pytest.raises(DeployError, match=f"'mine' .*{text}") as error:
        to_openvino(model)
    sentence(error)


def test_inputs_that_are_neither_image_nor_vector():
    model = tf.keras.Sequential([tf.keras.Input((4, 6)), tf.keras.layers.ReLU()])
    with pytest.raises(DeployError, match=r"not inputs of shape \(1, 4, 6\)") as error:
        to_openvino(model)
    sentence(error)


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, True, "2"])
def test_batch_sizes(batch_size):
    model = zoo.RealResNet20(weights=None, width=0.25)
    with pytest.raises(InvalidValueError, match="at least 1") as error:
        to_openvino(model, batch_size)
    sentence(error)


def test_only_colour_images_are_preprocessed():
    model = zoo.RealResNet20(weights=None, width=0.25, input_shape=(28, 28, 1))
    with pytest.raises(DeployError, match=r"Only images of 3 channels .* \(1, 28, 28, 1\)"):
        to_openvino(model, preprocess=True)


def test_a_directory_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    converted = to_openvino(zoo.RealResNet20(weights=None, width=0.25))
    with pytest.raises(DeployError, match=r"file' cannot be written: (File exists|Not a dir)"):
        save_openvino(converted, tmp_path / "file")


# --- this machine ---------------------------------------------------------------------------------

OLD = "model name\t: Old Processor 1000\nflags\t\t: fpu sse sse2 sse4_2 avx\n"
NEW = "model name\t: New Processor\nflags\t\t: fpu sse4_2 avx avx2 fma avx512f\n"


@pytest.fixture
def old_processor(tmp_path, monkeypatch):
    """/proc/cpuinfo of a processor without AVX2."""
    (tmp_path / "cpuinfo").write_text(OLD)
    monkeypatch.setattr(cpu, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(cpu.platform, "machine", lambda: "x86_64")


@pytest.fixture(scope="module")
def small():
    return zoo.ReActNet20(weights=None)


def test_without_avx2_one_is_told_what_to_expect(old_processor, small):
    assert cpu.instruction_sets() == ["sse4_2", "avx"]
    converted = to_openvino(small)
    with pytest.warns(DeployWarning, match=r"Old Processor 1000\) has no AVX2.*fraction of"):
        compiled = compile_openvino(converted)
    with pytest.raises(DeployError, match="has no AVX2"):
        check_compiled(compiled, strict=True)


def test_without_avx2_a_real_network_needs_no_warning(old_processor):
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeployWarning)
        compile_openvino(to_openvino(zoo.RealResNet20(weights=None, width=0.25)))


def test_other_processors(tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(NEW)
    monkeypatch.setattr(cpu, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(cpu.platform, "machine", lambda: "x86_64")
    assert cpu.without_avx2() is None
    assert cpu.instruction_sets() == ["sse4_2", "avx", "avx2", "fma", "avx512f"]
    monkeypatch.setattr(cpu.platform, "machine", lambda: "aarch64")
    assert "to_lce" in cpu.without_avx2()
    monkeypatch.setattr(cpu, "CPUINFO", tmp_path / "nothing")
    assert cpu.instruction_sets() is None and cpu.cpu_name()


def test_reference_kernels_are_found_out(small):
    """A graph from another converter: signs are -1 and +1, without a fast kernel in the plugin."""
    import openvino as ov
    from openvino import opset15 as ops

    image = ops.parameter([1, 16, 8, 8], ov.Type.f32)
    signs = ops.fake_quantize(image, *map(np.float32, (0, 0, -1, 1)), 2)
    bits = ov.Tensor(ov.Type.u1, ov.Shape([16, 16, 3, 3]))
    padding = [[1, 1]] * 4
    node = ops.binary_convolution(signs, ops.constant(bits), *padding, "xnor-popcount", 0.0)
    compiled = ov.Core().compile_model(ov.Model([ops.result(node)], [image]), "CPU")
    with pytest.warns(DeployWarning, match="reordered at each inference|OpenVINO's kernel"):
        assert check_compiled(compiled) == 0


@pytest.mark.parametrize(
    ("module", "convert", "text"),
    [
        (
            "openvino",
            to_openvino,
            r"needs OpenVINO: run pip install.*\[openvino\]",
        ),
        (
            "larq_compute_engine",
            to_lce,
            r"needs Larq Compute Engine: run pip .*\[lce\]",
        ),
        (
            "tf2onnx",
            to_onnx,
            r"needs ONNX Runtime and tf2onnx: run pip .*\[onnx\]",
        ),
    ],
)
def test_runtimes_that_are_not_installed(module, convert, text, monkeypatch, small):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DeployError, match=text) as error:
        convert(small)
    sentence(error)


WITHOUT = """
import sys
sys.modules[{module!r}] = None
from training.cli import main
code = main({arguments!r})
print("tensorflow" in sys.modules)
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("openvino", ["export", "--format", "openvino", "-o", "x"]),
        ("larq_compute_engine", ["export", "--format", "lce", "-o", "x.tflite"]),
        ("openvino", ["benchmark", "--runtimes", "keras,openvino-float"]),
        ("larq_compute_engine", ["benchmark", "--runtimes", "keras,lce"]),
    ],
)
def test_commands_say_so_at_once(module, options, tmp_path):
    code = WITHOUT.format(module=module, arguments=[*options, "RealResNet20"])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 2 and done.stdout == "False\n"  # before TensorFlow is loaded
    assert re.fullmatch(r"Error: .* needs .*: run pip install '\.\[\w+\]' in .*\.\n", done.stderr)
    assert not list(tmp_path.iterdir())


# --- the command line -----------------------------------------------------------------------------


@pytest.fixture
def run(capfd, tmp_path, monkeypatch):
    """Run `lqz` in a directory with a file `file`; return exit code and standard error."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "broken.keras").write_text("nothing")

    def run(*arguments):
        code = cli.main(arguments)
        return code, capfd.readouterr().err.strip()

    return run


EXPORT = ("export", "RealResNet20", "width=0.25")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((*EXPORT, "--format", "openvin", "-o", "x"), "no format 'openvin'; did you mean 'openvi"),
        (("export", "ReActNetX", "--format", "lce", "-o", "x.tflite"), "no model 'ReActNetX'; did"),
        ((*EXPORT, "--format", "lce", "-o", "x"), "--format lce writes a .tflite file, not 'x'"),
        ((*EXPORT, "--format", "openvino", "-o", "file"), "'file' cannot be written: "),
        ((*EXPORT, "--format", "saved_model", "-o", "file/x"), "'file/x' cannot be written: "),
        ((*EXPORT, "--format", "lce", "-o", "file/x.tflite"), "'file' cannot be written: "),
        ((*EXPORT, "--format", "lce", "-o", "x.tflite", "--preprocess"), "--preprocess is for"),
        ((*EXPORT, "--format", "lce", "-o", "x.tflite", "--batch", "2"), "--batch is for"),
        ((*EXPORT, "--format", "openvino", "-o", "x", "--allow-float"), "--allow-float is for"),
        ((*EXPORT, "widht=2", "--format", "openvino", "-o", "x"), "no argument 'widht'; did you"),
        (
            ("export", "no.keras", "--format", "lce", "-o", "x.tflite"),
            "There is no 'no.keras': ",
        ),
        (("export", "broken.keras", "--format", "openvino", "-o", "x"), "is not a readable model"),
        (("export", "broken.keras", "a=1", "--format", "openvino", "-o", "x"), "no arguments"),
        (("benchmark",), "Name a model, or give --all for all"),
        (("benchmark", "ReActNet200"), "no model 'ReActNet200'; did you mean 'ReActNet20'?"),
        (("benchmark", "no.keras"), "There is no 'no.keras': "),
        (("benchmark", "ReActNet20", "--runtimes", "openvin"), "no runtime 'openvin'; did you"),
        (("benchmark", "ReActNet20", "--runtimes", ","), "--runtimes is empty; choose from"),
        (("benchmark", "ReActNet20", "--threads", "1,x"), "--threads must be whole numbers from 1"),
        (("benchmark", "ReActNet20", "--batch", "0"), "--batch must be whole numbers from 1"),
        (("benchmark", "ReActNet20", "--csv", "file/x.csv"), "'file' cannot be written: "),
        (("benchmark", "ReActNet20", "--plot", "file/x.png"), "'file' cannot be written: "),
    ],
)
def test_mistakes_are_one_sentence(run, arguments, text):
    code, said = run(*arguments)
    *before, last = said.splitlines()
    assert code == 2 and text in last and last.startswith("Error: ") and last.endswith(".")
    assert all("has random weights" in line for line in before)


def test_a_benchmark_without_a_compiler(run, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    code, said = run("benchmark", "RealResNet20", "width=0.25")
    assert code == 2 and "CC is not installed: install gcc or clang" in said
    assert said.endswith("or leave c out of --runtimes.") and "\n" not in said


def test_errors_are_the_zoos():
    assert issubclass(DeployError, ZooError)
