"""Networks in C: compiled by this machine's compiler, run, and compared with Keras."""

import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
from case import images, randomize
from networks import QUICK, binary_names, quick_network, relative, turned
from sums import binary, sums_network, symmetric

import zoo
from zoo.deploy import _check, to_c
from zoo.deploy.c.load import CNetwork, read_manifest
from zoo.layers import LeakyClip, SubsamplePad

layers = tf.keras.layers
QUICKLY = ("-std=c11", "-O1")  # compiles in a third of the time and computes the same
SETS = {"best": (), "avx2": ("-DBNN_NO_AVX512",), "portable": ("-O0", "-DBNN_ONLY_PORTABLE")}
BY_MACHINE = ("best", "avx2")  # the same on a machine without AVX-512
QUICK_SETS = ["best", pytest.param("avx2", marks=pytest.mark.slow), "portable"]
needs_compiler = pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
pytestmark = needs_compiler


@pytest.fixture(scope="module")
def linked(tmp_path_factory):
    """Compile and load an export; the kernels are compiled once for each instruction set."""
    folder = tmp_path_factory.mktemp("kernels")

    def linked(export, library, instructions="best"):
        directory, kernels = export.directory, folder / f"{instructions}.o"
        command = ["cc", *QUICKLY, *SETS[instructions], "-fPIC"]
        if not kernels.exists():
            subprocess.run([*command, "-c", directory / "bnn.c", "-o", kernels], check=True)
        sources = [directory / f"{export.name}.c", kernels]
        subprocess.run([*command, "-shared", *sources, "-o", library, "-lm"], check=True)
        return CNetwork(read_manifest(directory), library)

    return linked


@pytest.fixture(scope="module")
def compiled(linked):
    """Export, compile and load a model."""

    def compiled(model, directory, instructions="best", **options):
        export = to_c(model, directory, **options)
        return linked(export, directory / "network.so", instructions)

    return compiled


@pytest.mark.parametrize("name", QUICK)
def test_networks_of_every_family(name, compiled, tmp_path):
    model = turned(quick_network(name))
    network = compiled(model, tmp_path / "c")
    assert sorted(network.binary_convolutions) == sorted(binary_names(model))
    batch = images(model, 4)
    assert relative(network(batch), model(batch, training=False)) < 1e-5


# --- sums -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("instructions", QUICK_SETS)
@pytest.mark.parametrize("channels", [3, 16, 40, 96])
def test_sums_of_signs_are_exact(channels, instructions, compiled, tmp_path):
    model = sums_network(channels)
    network = compiled(model, tmp_path / "c", instructions)
    batch = images(model, 2)
    batch[0, :5] = np.round(batch[0, :5])  # and zeros; their sign is +1
    found, expected = network(batch), model(batch, training=False).numpy()
    assert (found == np.round(found)).all() and np.array_equal(found, expected)


def test_pixels_of_16_bits_between_layers(compiled, tmp_path):
    """As the last test, but the binary convolution is inside a network."""
    image = tf.keras.Input((9, 9, 16))
    x = layers.Add()([symmetric(16, 3)(image), image])
    x = layers.Add()([symmetric(16, 3)(x), layers.AveragePooling2D(1)(x)])
    model = randomize(tf.keras.Model(image, binary(16, (3, 2), padding="same")(x), name="pairs"))
    network = compiled(model, tmp_path / "c")
    batch = np.round(4 * images(model, 8))  # whole numbers, so sums are exact
    assert np.array_equal(network(batch), model(batch, training=False))


# --- other layers ---------------------------------------------------------------------------------


def everything():
    """A network with every kind of layer that the catalog's models do not have."""
    image = tf.keras.Input((13, 11, 5))
    x = layers.Rescaling([1.5, 1, 1, 1, 2], 0.1)(image)
    x = layers.ZeroPadding2D(((1, 2), (0, 1)))(layers.LeakyReLU(0.2)(x))
    x = layers.Conv2D(24, 3, padding="same", activation="elu", dilation_rate=2)(x)
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", activation="gelu")(x)
    y = layers.Conv2D(24, 3, groups=3, padding="same", activation="softplus")(x)
    y = layers.Activation("swish")(layers.BatchNormalization(scale=False)(y))
    z = layers.AveragePooling2D(3, 1, padding="same")(x)
    x = layers.Concatenate()([y, z, layers.MaxPooling2D(2, 1, padding="same")(x)])
    x = layers.Dropout(0.5)(LeakyClip(0.1)(x))
    gate = layers.Dense(72, "tanh")(layers.GlobalMaxPooling2D()(x))
    x = layers.Multiply()([x, layers.Reshape((1, 1, 72))(gate)])
    x = layers.Add()([x, x])
    x = layers.Permute((2, 3, 1))(layers.Conv2D(10, 1, activation="selu")(x))
    x = SubsamplePad(13)(layers.Reshape((6, 8, 10))(layers.Reshape((480,))(layers.Flatten()(x))))
    both = x + layers.Activation("softsign")(layers.ReLU(1.0)(layers.PReLU(shared_axes=(1, 2))(x)))
    flat = layers.Dense(8, "sigmoid")(layers.Flatten()(both))
    one = symmetric(20, 3)(layers.BatchNormalization()(x))
    return tf.keras.Model(
        image,
        layers.Softmax()(layers.Concatenate()([flat, layers.GlobalAveragePooling2D()(one)])),
        name="everything",
    )


@pytest.mark.parametrize("instructions", QUICK_SETS)
def test_every_kind_of_layer(instructions, compiled, tmp_path):
    model = turned(randomize(everything()))
    network = compiled(model, tmp_path / "c", instructions)
    batch = images(model, 4)
    assert relative(network(batch), model(batch, training=False)) < 1e-5


@pytest.mark.parametrize(
    ("pooling", "size"),
    [
        (layers.MaxPooling2D(3, 2, padding="same"), (73, 70)),
        (layers.AveragePooling2D(2), (74, 66)),
        (layers.MaxPooling2D(5, 3), (71, 81)),
    ],
)
def test_a_convolution_and_its_pooling_run_in_turns(pooling, size, compiled, tmp_path):
    """Where the map between them is large."""
    image = tf.keras.Input((*size, 3))
    x = layers.BatchNormalization()(layers.Conv2D(40, 3, padding="same")(image))
    model = turned(randomize(tf.keras.Model(image, pooling(x), name="stem")))
    network = compiled(model, tmp_path / "c", mean=(0.5,) * 3, std=(0.25,) * 3)
    assert "bnn_run_pair(&layer_0, &layer_1" in (tmp_path / "c" / "stem.c").read_text()
    batch = images(model, 2)
    assert relative(network(batch), model(batch, training=False)) < 1e-5
    # Normalised bytes lie in the workspace, where the pooling must not overwrite them.
    pixels = np.random.default_rng(0).integers(0, 256, batch.shape, np.uint8)
    expected = model((pixels / np.float32(255) - 0.5) / 0.25, training=False)
    assert relative(network(pixels), expected) < 1e-5


def test_every_kind_of_layer_agrees_alone(tmp_path, monkeypatch):
    """As it is checked where signs flip: the first difference, of the whole network, is large."""
    original, calls = _check.difference_of, []

    def difference_of(found, expected):
        calls.append(found)
        return 0.5 if len(calls) == 1 else original(found, expected)

    monkeypatch.setattr(_check, "difference_of", difference_of)
    to_c(turned(randomize(everything())), tmp_path / "c")
    assert len(calls) > 30


def test_a_shortcut_whose_signs_the_other_summand_reads(compiled, tmp_path):
    """The sum joins the second convolution's loop, which comes after the shortcut's."""
    image = tf.keras.Input((8, 8, 16))
    first = binary(16, 3, padding="same")(image)
    second = binary(16, 3, padding="same")(layers.BatchNormalization()(first))
    x = layers.Add()([first, second])
    model = randomize(tf.keras.Model(image, x, name="shortcut"))
    network = compiled(model, tmp_path / "c")
    batch = images(model, 4)
    assert np.array_equal(network(batch), model(batch, training=False).numpy())


def test_nested_concatenations_of_a_dense_network(compiled, tmp_path):
    image = tf.keras.Input((8, 8, 32))
    x = layers.Conv2D(32, 1)(image)
    for _ in range(3):
        y = symmetric(16, 3)(layers.BatchNormalization()(x))
        x = layers.Concatenate()([x, y])
    x = layers.Concatenate()([layers.MaxPooling2D(2)(x), layers.AveragePooling2D(2)(x)])
    model = turned(randomize(tf.keras.Model(image, x, name="dense")))
    network = compiled(model, tmp_path / "c")
    batch = images(model, 4)
    assert relative(network(batch), model(batch, training=False)) < 1e-5


@pytest.mark.parametrize("reader", ["nobody", "addition", "signs"])
@pytest.mark.parametrize("channels", [3, 16])
def test_a_convolution_pads_itself_if_nobody_else_reads_the_padded_map(
    reader, channels, compiled, tmp_path
):
    image = tf.keras.Input((9, 11, channels))
    padded = layers.ZeroPadding2D(((1, 3), (2, 0)))(image)
    y = layers.Conv2D(channels, 3, padding="same")(padded)
    if reader == "addition":
        y = layers.Add()([y, padded])
    elif reader == "signs":
        y = layers.Add()([y, symmetric(channels, 3)(padded)])
    model = turned(randomize(tf.keras.Model(image, y, name="padded")))
    network = compiled(model, tmp_path / "c")
    loads = (tmp_path / "c" / "padded.c").read_text().count("BNN_LOAD")
    assert (loads == 0) == (reader == "nobody")
    batch = images(model, 3)
    assert relative(network(batch), model(batch, training=False)) < 1e-5


@pytest.mark.parametrize("shrink", ["subsample", "mean", "maximum", "depthwise"])
def test_a_map_that_shrinks_is_replaced_by_its_result(shrink, compiled, tmp_path):
    """It needs less memory than both maps, which have more pixels than are computed at once."""
    image = tf.keras.Input((40, 40, 3))
    x = layers.Conv2D(16, 1)(image)
    before = layers.BatchNormalization()(x)
    small = {
        "subsample": SubsamplePad(32),
        "mean": layers.AveragePooling2D(2),
        "maximum": layers.MaxPooling2D(2),
        "depthwise": layers.DepthwiseConv2D(2, 2),
    }[shrink](before)
    y = symmetric(small.shape[-1], 3)(small)
    model = turned(randomize(tf.keras.Model(image, layers.Add()([y, small]), name="shrinks")))
    network = compiled(model, tmp_path / "c")
    assert read_manifest(tmp_path / "c")["workspace"] < 4 * 40 * 40 * (3 + 16) + 2048
    batch = images(model, 2)
    assert relative(network(batch), model(batch, training=False)) < 1e-5


# --- trained networks, and the C code -------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """ReActNet20's shipped weights in C."""
    model = zoo.ReActNet20(classifier_activation=None)
    names = [f'class "{number}"??\\ é' for number in range(10)]
    folder = tmp_path_factory.mktemp("trained") / "deep" / "c"
    return model, to_c(model, folder, classes=names), names


@pytest.fixture(scope="module")
def loaded(trained, linked, tmp_path_factory):
    return linked(trained[1], tmp_path_factory.mktemp("loaded") / "network.so")


def test_trained_logits_of_numbers_and_of_bytes(trained, loaded):
    model, network = trained[0], loaded
    pixels = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
    batch = zoo.preprocess_input(pixels, "cifar10")
    expected = model(batch, training=False).numpy()
    found = network(batch)
    assert np.array_equal(network(pixels), found)  # normalised as in training, to the bit
    assert np.array_equal(network(pixels[3]), found[3])
    each = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert np.median(each) < 1e-5 and (found.argmax(1) == expected.argmax(1)).all()


def test_calls_at_the_same_time(loaded):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), np.uint8)
    alone = loaded(pixels)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(loaded, pixels))
    assert np.array_equal(alone, together)


STRICT = ["-Wall", "-Wextra", "-pedantic", "-Werror"]
SANITIZED = ["-O0", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


@pytest.mark.parametrize(
    "compiler",
    [
        "gcc -std=c11",
        pytest.param("gcc -std=c11 -O2", marks=pytest.mark.slow),  # sees more
        pytest.param("clang -std=c11 -O2", marks=pytest.mark.slow),
        pytest.param("g++ -x c++ -O2", marks=pytest.mark.slow),
    ],
)
def test_no_compiler_warns(trained, compiler, tmp_path):
    words = compiler.split()
    if not shutil.which(words[0]):
        pytest.skip(f"{words[0]} is not installed")
    for file in ("main.c", "reactnet20.c", "bnn.c"):
        command = [*words, *STRICT, "-c", trained[1].directory / file, "-o", tmp_path / "o"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), file


@pytest.mark.parametrize(
    "instructions", [*(pytest.param(s, marks=pytest.mark.slow) for s in BY_MACHINE), "portable"]
)
def test_the_example_is_clean_and_equal(trained, instructions, tmp_path):
    sources = [trained[1].directory / file for file in ("main.c", "reactnet20.c", "bnn.c")]
    command = ["cc", "-std=c11", *SANITIZED, *SETS[instructions], *sources]
    subprocess.run([*command, "-o", tmp_path / "example", "-lm"], check=True)
    done = subprocess.run([tmp_path / "example"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith("equal\n"), done.stdout + done.stderr
    assert max(float(each) for each in re.findall(r"by (\S+) of", done.stdout)) < 1e-5


def test_the_example_classifies_a_picture(trained, tmp_path):
    model, export, names = trained
    sources = [str(export.directory / file) for file in ("main.c", "reactnet20.c", "bnn.c")]
    subprocess.run(["cc", "-std=c11", *sources, "-o", tmp_path / "example", "-lm"], check=True)
    pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    (tmp_path / "picture.ppm").write_bytes(b"P6\n32 32\n255\n" + pixels.tobytes())
    done = subprocess.run(
        [tmp_path / "example", "picture.ppm"], cwd=tmp_path, capture_output=True, text=True
    )
    expected = model(zoo.preprocess_input(pixels, "cifar10")[None], training=False).numpy()[0]
    best = [line.split(maxsplit=1)[1] for line in done.stdout.splitlines()]
    assert best == [names[number] for number in np.argsort(-expected)[:5]]
    done = subprocess.run([tmp_path / "example", "none.ppm"], capture_output=True, text=True)
    assert done.returncode == 2 and "cannot be read" in done.stderr


@pytest.mark.slow
def test_with_cmake_as_the_readme_says(trained, tmp_path):
    if not shutil.which("cmake"):
        pytest.skip("cmake is not installed")
    folder = tmp_path / "copied elsewhere"
    shutil.copytree(trained[1].directory, folder)
    for command in (
        ["cmake", "-B", "build", "-DBNN_OPENMP=ON"],
        ["cmake", "--build", "build"],
        ["ctest", "--test-dir", "build", "--no-tests=error"],
    ):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
