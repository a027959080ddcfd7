"""Packed sets: bit-identical, small, and refused if they are invalid."""

import sys
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

sys.path.append(str(Path(__file__).parents[1] / "models"))

from case import ROWS, build, images, randomize, tiered

import zoo
from zoo.errors import WeightsError
from zoo.quantizers import ScaledSign, SelfDistributionSign
from zoo.untrusted.opening import require_memory
from zoo.weights import files, save_weights, torch_state
from zoo.weights.files import is_packed, read_npz, write_arrays
from zoo.weights.packed import binary_kernels, latent_kernel, pack

MODEL = "ReActNet20"


@pytest.fixture(scope="module")
def trained():
    return randomize(zoo.ReActNet20(weights=None))


@pytest.fixture(scope="module")
def packed(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / "packed.npz"
    save_weights(trained, path, packed=True)
    return path


def quantized(model):
    """Return the kernel that each binary convolution multiplies with."""
    return {
        layer.name: layer.kernel_quantizer(tf.constant(layer.kernel.latent_variable)).numpy()
        for layer in model.layers
        if getattr(layer, "kernel_quantizer", None) is not None
    }


@pytest.mark.parametrize("name", [tiered(name) for name in ROWS])
def test_every_model_is_equal_to_the_bit(name, tmp_path):
    """Every binary kernel is packed; its quantised values and the output are equal. Packed again,
    the file is the same."""
    model = randomize(build(name))
    save_weights(model, tmp_path / "packed.npz", packed=True)
    again = build(name, weights=tmp_path / "packed.npz")
    kernels = quantized(model)
    for key, kernel in quantized(again).items():
        np.testing.assert_array_equal(kernel, kernels[key])
    x = images(model)
    np.testing.assert_array_equal(again(x, training=False), model(x, training=False))
    if name == MODEL:  # also in a graph
        np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    with np.load(tmp_path / "packed.npz") as arrays:
        size = sum(kernel.size for kernel in kernels.values())
        assert len(arrays["bits"] if kernels else b"") == (size + 7) // 8
    save_weights(again, tmp_path / "again.npz", packed=True)
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "packed.npz").read_bytes()
    binary, ours, theirs = binary_kernels(model), torch_state(again), torch_state(model)
    assert len(binary) == len(kernels)
    assert all(ours[key].tobytes() == theirs[key].tobytes() for key in ours if key not in binary)


@pytest.mark.parametrize("n", [1, 2, 9, 144, 576, 4608, 9216])
def test_the_mean_of_the_magnitudes_is_the_scale(n):
    """The mean is exact in every order of summation, so also in TensorFlow's."""
    rng = np.random.default_rng(n)
    kernel = (rng.standard_normal((200, n)) * 10 ** rng.uniform(-6, 2, (200, 1))).astype("float32")
    quantizer = ScaledSign()
    signs = kernel >= 0
    scales = np.abs(quantizer(tf.constant(kernel.T[None, None])).numpy()[0, 0, 0])
    latent = latent_kernel(signs, scales)
    np.testing.assert_array_equal(latent > 0, signs)
    for order in (np.arange(n), rng.permutation(n)):
        for total in (
            np.abs(latent)[:, order].sum(axis=1),
            np.cumsum(np.abs(latent[:, order]), 1)[:, -1],
        ):
            np.testing.assert_array_equal(total / np.float32(n), scales)
    again = quantizer(tf.constant(latent.T[None, None])).numpy()[0, 0]
    np.testing.assert_array_equal(np.abs(again), np.broadcast_to(scales, again.shape))
    # At least a hundredth of the mean, more than SD-BNN's shift; squares, so more are small.
    share = np.abs(latent) / np.abs(latent).mean(axis=1, keepdims=True)
    assert share.min() > 0.01
    if n >= 144:  # different in every filter
        quantiles = np.quantile(share, [0.25, 0.5, 0.75, 0.95])
        np.testing.assert_allclose(quantiles, [0.21, 0.76, 1.67, 2.65], atol=0.08)
        assert len({row.tobytes() for row in np.argsort(share, axis=1)}) == 200


def test_zeros_and_what_the_shift_turns():
    """A filter of zeros keeps its scale 0; SD-BNN's signs are those after the shift."""
    kernel = np.zeros((1, 1, 4, 3), "float32")
    kernel[..., 1] = [[[0.5, -1, 0, 2]]]
    kernel[..., 2] = [[[3.0, 3, 3, -0.01]]]  # the shift by 0.011 flips it
    shift = SelfDistributionSign()
    shift.build(kernel.shape)
    shift.alpha.assign([0.0, 0.0, 9.0])
    for quantizer in (ScaledSign(), shift):
        expected = quantizer(tf.constant(kernel)).numpy()
        values = expected.reshape(4, 3).T
        total = np.abs(kernel.reshape(4, 3).T).sum(axis=1)
        latent = latent_kernel(values >= 0, total / np.float32(4)).T.reshape(kernel.shape)
        np.testing.assert_array_equal(quantizer(tf.constant(latent)).numpy(), expected)
    assert expected[0, 0, 3, 2] == 1


def test_a_kernel_that_would_not_be_equal_stays_as_it_is(trained):
    """A quantizer that uses more than signs and one scale cannot be packed."""

    class Sloped(type(trained.get_layer("layer1.0.conv1").kernel_quantizer)):
        def call(self, inputs):
            return super().call(inputs) + 0.1 * inputs

    model = randomize(zoo.ReActNet20(weights=None))
    layer = model.get_layer("layer1.0.conv1")
    layer.kernel_quantizer = Sloped()
    size = int(np.prod(layer.kernel.shape))
    assert 8 * (len(pack(trained, {})["bits"]) - len(pack(model, {})["bits"])) == size
    assert len(pack(model, {})["float32"]) - len(pack(trained, {})["float32"]) == size


def test_fine_tuning_starts_from_signs_and_means(trained, packed):
    """Latent weights have the same signs, and the same mean magnitude in each filter. Other classes
    get a new classifier, as with any set."""
    model = zoo.ReActNet20(weights=packed, num_classes=3)
    name = "layer2.0.conv1"
    ours, theirs = (m.get_layer(name).kernel.latent_variable.numpy() for m in (model, trained))
    np.testing.assert_array_equal(np.sign(ours), np.sign(theirs))
    means = np.abs(theirs).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(np.abs(ours).mean(axis=(0, 1, 2)), means, rtol=1e-6)
    assert model.output_shape == (None, 3)


def test_the_file(packed, trained, tmp_path):
    save_weights(trained, tmp_path / "latent.npz")
    assert is_packed(packed) and not is_packed(tmp_path / "latent.npz")
    assert 10 * packed.stat().st_size < (tmp_path / "latent.npz").stat().st_size
    save_weights(trained, tmp_path / "again.npz", packed=True)
    assert (tmp_path / "again.npz").read_bytes() == packed.read_bytes()
    with np.load(packed) as arrays:
        assert set(arrays) == {
            "zoo.model",
            "zoo.packed",
            "index",
            "bits",
            "scales",
            "float32",
            "int64",
        }
    assert set(read_npz(packed, "reactnet20")) == set(torch_state(trained))
    with pytest.raises(WeightsError, match="weights of reactnet20, which do not belong to realres"):
        read_npz(packed, "realresnet20")


HUGE = '[["a",[1099511627776],"%s",%d]]'
LINE = '[["a",[2,9],"bits",2]]'


def bits(**changes):
    """A packed set with one kernel of two filters with nine weights each."""
    arrays = {
        "zoo.model": np.array("reactnet20"),
        "zoo.packed": np.array(1),
        "index": LINE,
        "bits": np.zeros(3, "uint8"),
        "scales": np.ones(2, "float32"),
        **changes,
    }
    arrays = {key: value for key, value in arrays.items() if value is not None}
    index = arrays.get("index")
    if isinstance(index, str):
        arrays["index"] = np.frombuffer(index.encode(), "uint8")
    return arrays


class TestRefused:
    """One sentence, before memory is allocated for the sizes that a file declares."""

    def refused(self, path, says):
        with pytest.raises(WeightsError, match=says) as caught:
            read_npz(path, "reactnet20")
        assert "\n" not in str(caught.value)

    def test_what_the_others_are_made_from_is_read(self, tmp_path):
        write_arrays(tmp_path / "x.npz", bits())
        assert read_npz(tmp_path / "x.npz", "reactnet20")["a"].shape == (2, 9)

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"zoo.packed": np.array(2)}, "its format is not this program's version 1"),
            ({"zoo.packed": np.array([1, 1])}, "its format is not"),
            ({"zoo.packed": np.array("1")}, "its format is not"),
            ({"index": None}, "not a readable .npz"),
            ({"index": "[["}, "not a readable .npz"),
            ({"index": "[" * 100_000}, "not a readable .npz"),
            ({"index": "{}"}, "do not match its index"),
            ({"index": "[3]"}, "not a readable .npz"),
            ({"index": '[["a",[2,9],"bits"]]'}, "not a readable .npz"),
            ({"index": '[[3,[2,9],"bits",2]]'}, "its index is damaged"),
            ({"index": '[["a",[2,9],"object",2]]'}, "its index is damaged"),
            ({"index": '[["a",[2,-9],"bits",2]]'}, "not a whole number"),
            ({"index": '[["a",[2,9.0],"bits",2]]'}, "not a whole number"),
            ({"index": '[["a",[2,true],"bits",2]]'}, "not a whole number"),
            ({"index": '[["a",[2,9],"bits",0]]'}, "0 filters of 18 weights"),
            ({"index": '[["a",[2,9],"bits",4]]'}, "4 filters of 18 weights"),
            ({"index": '[["a",[0],"bits",1]]'}, "1 filters of 0 weights"),
            ({"index": '[["a",[2097152],"bits",1]]'}, "1 filters of 2097152 weights"),
            ({"index": HUGE % ("bits", 2**26)}, "do not match its index"),
            ({"index": HUGE % ("float32", 0)}, "do not match its index"),
            ({"index": '[["a",[2,9],"bits",2],["a",[2,9],"bits",2]]'}, "do not match its index"),
            ({"bits": np.zeros(2, "uint8")}, "do not match its index"),
            ({"bits": np.zeros(3, "int8")}, "do not match its index"),
            ({"bits": np.zeros((1, 3), "uint8")}, "do not match its index"),
            ({"bits": np.array([{}] * 3, dtype=object)}, "not a readable .npz"),
            ({"scales": None}, "do not match its index"),
            ({"scales": np.ones(3, "float32")}, "do not match its index"),
            ({"scales": np.float32([1, np.nan])}, "a scale is not a number from 0 up"),
            ({"scales": np.float32([1, -1])}, "a scale is not a number from 0 up"),
            ({"scales": np.float32([1, np.inf])}, "a scale is not a number from 0 up"),
            ({"more": np.zeros(3)}, "do not match its index"),
        ],
    )
    def test_content(self, tmp_path, changes, says):
        write_arrays(tmp_path / "x.npz", bits(**changes))
        self.refused(tmp_path / "x.npz", says)

    def test_bits_that_unpack_to_more_than_there_is(self, tmp_path, monkeypatch):
        """The limit applies to latent weights: 32 times the unpacked size that the zip declares."""
        line = f'[["a",[{2**19}],"bits",32]]'
        arrays = bits(index=line, bits=np.zeros(2**16, "uint8"), scales=np.ones(32, "float32"))
        write_arrays(tmp_path / "x.npz", arrays, compressed=True)
        assert read_npz(tmp_path / "x.npz")["a"].nbytes == 2**21
        monkeypatch.setattr(files, "require_memory", partial(require_memory, most_bytes=2**20))
        self.refused(
            tmp_path / "x.npz", "unpacks to 2,097,152 bytes, more than the 1,048,576 allow"
        )

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
    def test_cut_short(self, packed, tmp_path, share):
        whole = packed.read_bytes()
        (tmp_path / "x.npz").write_bytes(whole[: int(share * len(whole))])
        self.refused(tmp_path / "x.npz", "not a readable .npz")

    def test_bitten(self, packed, tmp_path):
        whole = bytearray(packed.read_bytes())
        whole[len(whole) // 2] ^= 1
        (tmp_path / "x.npz").write_bytes(whole)
        self.refused(tmp_path / "x.npz", "not a readable .npz")

    def test_of_other_shapes(self, packed):
        with pytest.raises(WeightsError, match="another class count, width or input size"):
            zoo.ReActNet20(weights=packed, input_shape=(32, 32, 1))

    def test_leads_outside(self, packed, tmp_path):
        (tmp_path / "x.npz").write_bytes(packed.read_bytes())
        with zipfile.ZipFile(tmp_path / "x.npz", "a") as archive:
            archive.writestr("../x.npy", b"")
        self.refused(tmp_path / "x.npz", "points outside")
