"""`zoo.profile` compared with larq's summary, the papers' figures, and a count by hand."""

import functools
import re

import larq as lq
import pytest
import tensorflow as tf

import zoo
from zoo.errors import InvalidValueError
from zoo.layers import SymmetricConv2D

built = functools.cache(functools.partial(zoo.get_model, weights=None))


def printed_totals(model):
    """Return what `larq.models.summary` prints: parameters, MACs by bit width, KiB, the rest."""
    lines = []
    lq.models.summary(model, print_fn=lambda text: lines.extend(text.splitlines()))
    header = [re.findall(r"\d+-bit(?: MACs)?", line) for line in lines]
    columns = next(names for names in header if any("MACs" in name for name in names))
    total = next(line for line in lines if line.startswith("| Total  "))
    numbers = [float(number) for number in re.findall(r"[\d.]+", total)]
    kinds = [name for name in columns if "MACs" not in name]
    names = [*kinds, "KiB", *(name for name in columns if "MACs" in name)]
    return dict(zip(names, numbers, strict=True)), "\n".join(lines)


@pytest.mark.parametrize(
    "name", ["ReActNetA", "ReActNetB", "BiRealNet20", "SDBNNResNet20", "RealResNet20", "QuickNet"]
)
def test_equals_what_larq_prints(name):
    model = built(name)
    counted, (printed, text) = zoo.profile(model), printed_totals(model)
    assert counted.binary_macs == printed.get("1-bit MACs", 0)
    assert counted.float_macs == printed["32-bit MACs"]
    assert counted.params == printed.get("1-bit", 0) + printed["32-bit"]
    assert counted.memory_bytes / 1024 == pytest.approx(printed["KiB"], abs=0.005)
    if counted.binary_macs:
        share = counted.binary_macs / (counted.binary_macs + counted.float_macs)
        assert f"| Ratio of MACs that are binarized  {share:.4f} " in text


def test_reactnet_a_exactly():
    counted = zoo.profile(built("ReActNetA"))
    assert (counted.binary_macs, counted.float_macs) == (4_816_896_000, 11_862_016)


def test_reactnet_a_by_hand():
    """Each block: a 3x3 from C to C at the block's size, then 1x1s from C to C or to 2C."""
    channels = [32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024]
    size, binary = 112, 0
    for index in range(13):
        before, after = channels[index : index + 2]
        size //= 2 if after > before and index > 0 else 1
        binary += size**2 * (9 * before * before + before * after)
    assert zoo.profile(built("ReActNetA")).binary_macs == binary
    # Real layers: the 3x3 stem from 3 to 32 channels at stride 2, and the classifier.
    assert zoo.profile(built("ReActNetA")).float_macs == 112**2 * 27 * 32 + 1024 * 1000


# As published: BOPs, FLOPs and OPs = BOPs / 64 + FLOPs of 2003.03488, tables 1 and 3. The paper's
# figures of ReActNet-18 do not include the classifier (512,000 FLOPs, which would give 1.38e8 and
# 1.64e8); those of A to C do. B's OPs are computed from its other two figures.
@pytest.mark.parametrize(
    ("name", "include_top", "bops", "flops", "ops"),
    [
        ("ReActNetA", True, "4.82e9", "0.12e8", "0.87e8"),
        ("ReActNetB", True, "4.69e9", "0.44e8", "1.17e8"),
        ("ReActNetC", True, "4.69e9", "1.40e8", "2.14e8"),
        ("ReActNet18", False, "1.68e9", "1.37e8", "1.63e8"),
    ],
)
def test_published_figures(name, include_top, bops, flops, ops):
    model = built(name) if include_top else built(name, include_top=False)
    counted = zoo.profile(model)
    figures = {bops: counted.binary_macs, flops: counted.float_macs, ops: counted.ops}
    for published, figure in figures.items():
        exponent = published.partition("e")[2]
        assert f"{figure / float(f'1e{exponent}'):.2f}e{exponent}" == published


def test_classifier_of_reactnet_18():
    counted, without = (zoo.profile(built("ReActNet18", include_top=top)) for top in (True, False))
    assert counted.float_macs - without.float_macs == 512 * 1000
    assert counted.binary_macs == without.binary_macs


def small_model():
    return tf.keras.Sequential(
        [
            tf.keras.Input((4, 6, 3)),
            SymmetricConv2D(8, 3, strides=2, name="real"),
            SymmetricConv2D(
                16, 3, groups=2, input_quantizer="ste_sign", kernel_quantizer="ste_sign"
            ),
            tf.keras.layers.GlobalAveragePooling2D(),
            tf.keras.layers.Dense(5),
        ]
    )


def test_small_model_by_hand():
    counted = zoo.profile(small_model())
    real, binary, dense = 9 * 3 * 8, 9 * 4 * 16, 16 * 5
    assert counted.binary_macs == 2 * 3 * binary
    assert counted.float_macs == 2 * 3 * real + dense
    assert counted.params == real + binary + dense + 5
    assert counted.memory_bytes == 4 * (real + dense + 5) + binary // 8
    assert counted.ops == counted.binary_macs / 64 + counted.float_macs
    assert counted.as_dict() == {
        "binary_macs": 3456,
        "float_macs": 1376,
        "params": 877,
        "memory_bytes": 1276,
        "ops": 1430.0,
    }
    assert str(counted) == (
        "877 parameters in 0.00 MiB, 3,456 binary + 1,376 float MACs (71.5 % binary), 1,430 OPs"
    )


def test_several_inputs():
    images = {"left": tf.keras.Input((4, 4, 3)), "right": tf.keras.Input((4, 4, 3))}
    conv = SymmetricConv2D(2, 1)
    model = tf.keras.Model(images, conv(images["left"] + images["right"]))
    assert zoo.profile(model).float_macs == 4 * 4 * 3 * 2


def one_sentence(error, *parts):
    text = str(error.value)
    assert all(part in text for part in parts)
    assert text.endswith(".") and "\n" not in text


def test_model_that_is_not_built():
    with pytest.raises(InvalidValueError) as error:
        zoo.profile(tf.keras.Sequential([tf.keras.layers.Dense(3)]))
    one_sentence(error, "not built")


def test_subclassed_model():
    class Subclassed(tf.keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = tf.keras.layers.Dense(3)

        def call(self, inputs):
            return self.dense(inputs)

    model = Subclassed()
    model.build((None, 4))
    with pytest.raises(InvalidValueError) as error:
        zoo.profile(model)
    one_sentence(error, "subclass of tf.keras.Model")


@pytest.mark.parametrize("shape", [(None, None, 3), (32, None, 3)])
def test_open_input_shape(shape):
    model = tf.keras.Sequential([tf.keras.Input(shape), SymmetricConv2D(4, 3)])
    with pytest.raises(InvalidValueError) as error:
        zoo.profile(model)
    one_sentence(error, "variable input shape", str(shape)[1:-1], "one image size")
