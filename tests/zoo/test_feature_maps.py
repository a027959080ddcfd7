"""`zoo.features`: one map for each stride, with the right size, for every model of the catalog."""

import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.errors import InvalidValueError

QUICK = {"ReActNet20", "BiRealNet20", "SDBNNVGGSmall", "QuickNetSmall"}
ALL = zoo.list_models()


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in ALL]
)
def test_every_model_has_maps_at_its_strides(name):
    whole = zoo.get_model(name, weights=None)
    maps = zoo.features(whole)
    strides = [each.stride for each in maps]
    small = whole.input_shape[1] == 32
    first = 1 if small else 4 if any(part in name for part in ("Alex", "XNORNet", "DoReFa")) else 2
    if name == "XNORNetPlusPlusResNet18":
        first = 2
    assert strides == [first * 2**index for index in range(len(maps))]
    assert strides[-1] == 8 if name.endswith("Dilated") else strides[-1] in (4, 8, 32)
    assert strides[-1] == 32 or small or name.endswith("Dilated")
    for each in maps:
        assert each.output is whole.get_layer(each.layer).output
        assert each.output.shape[-1] == each.channels
        for length, of_image in zip(each.output.shape[1:3], whole.input_shape[1:3], strict=True):
            assert abs(of_image / each.stride - length) <= 2
    # The last map is the output of the model without top; only a batch norm may lie between.
    without = zoo.get_model(
        name, weights=None, include_top=False, input_shape=whole.input_shape[1:]
    )
    assert [(each.stride, each.channels) for each in zoo.features(without)] == [
        (each.stride, each.channels) for each in maps
    ]


@pytest.mark.parametrize(
    ("name", "channels", "layers"),
    [
        ("ReActNet20", (16, 32, 64), ["layer1.2.rprelu2", "layer2.2.rprelu2", "layer3.2.rprelu2"]),
        # Two streams leave a stage; the maps are the sums of the wider stream.
        (
            "BiRealNet50",
            (64, 256, 512, 1024, 2048),
            ["bn1", "layers.2.add3", "layers.6.add3", "layers.12.add3", "layers.15.add3"],
        ),
        # A gate adds a map of one pixel to the map of the next block; this does not end a stage.
        (
            "SDBNNResNet20",
            (16, 32, 64),
            ["layer1.2.hardtanh2", "layer2.2.hardtanh2", "layer3.2.hardtanh2"],
        ),
    ],
)
def test_maps_are_the_ends_of_stages(name, channels, layers):
    maps = zoo.features(zoo.get_model(name, weights=None))
    assert [each.channels for each in maps] == list(channels)
    assert [each.layer for each in maps] == layers


def test_open_image_size_and_a_backbone_of_them():
    model = zoo.ReActNet20(input_shape=(None, None, 3), include_top=False)
    fixed = zoo.ReActNet20(include_top=False)
    maps = zoo.features(model)
    assert [m.layer for m in maps] == [m.layer for m in zoo.features(fixed)]
    backbone = tf.keras.Model(model.input, [each.output for each in maps])
    images = np.random.default_rng(0).standard_normal((2, 48, 40, 3)).astype("float32")
    outputs = backbone(images)
    for each, output in zip(maps, outputs, strict=True):
        assert output.shape == (2, 48 // each.stride, 40 // each.stride, each.channels)
    np.testing.assert_array_equal(outputs[-1], model(images))


def test_layers_in_front_count():
    image = tf.keras.Input((64, 64, 3))
    smaller = tf.keras.layers.MaxPool2D(2)(image)
    model = zoo.RealResNet20(weights=None, width=0.25, input_tensor=smaller)
    assert [each.stride for each in zoo.features(model)] == [2, 4, 8]


@pytest.mark.parametrize("kind", ["dense", "two images", "no convolution"])
def test_no_maps(kind):
    image = tf.keras.Input((8, 8, 3))
    model = {
        "dense": lambda: tf.keras.Sequential([tf.keras.Input((3,)), tf.keras.layers.Dense(2)]),
        "two images": lambda: tf.keras.Model(
            (other := [image, tf.keras.Input((8, 8, 3))]), tf.keras.layers.add(other)
        ),
        "no convolution": lambda: tf.keras.Model(image, tf.keras.layers.ReLU()(image)),
    }[kind]()
    with pytest.raises(InvalidValueError, match="feature maps at each stride"):
        zoo.features(model)
