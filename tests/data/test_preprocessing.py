"""Every transform against NumPy or PIL, on real images."""

import io
import math

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from training.data import PadCropFlip, RandomResizedCropFlip, philox
from training.data import preprocessing as p
from zoo.errors import InvalidValueError

MEAN = np.array(p.IMAGENET_MEAN, np.float32)
STD = np.array(p.IMAGENET_STD, np.float32)


def png(image) -> bytes:
    return tf.io.encode_png(image).numpy()


def seed(index: int) -> tf.Tensor:
    return tf.constant([7, index], tf.int32)


def mapped(function, values) -> np.ndarray:
    """Apply `function` to each value; it is compiled once."""
    return np.stack(
        list(tf.data.Dataset.from_tensor_slices(values).map(function).as_numpy_iterator())
    )


def example(contents: bytes, index: int = 0) -> dict:
    return {"image": contents, "label": tf.constant(3, tf.int64), "seed": seed(index)}


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize("channels", [1, 3])
def test_decode_equals_pil(make, pictures, form, channels):
    """Colour and grey files are decoded to colour and grey; JPEG values differ by at most 1."""
    prep = make(PadCropFlip, input_shape=(32, 32, channels))
    for picture in pictures[:4]:
        for mode in ("RGB", "L"):
            buffer = io.BytesIO()
            Image.fromarray(picture).convert(mode).save(buffer, form, quality=95)
            got = prep.decode(buffer.getvalue()).numpy()
            want = np.array(Image.open(buffer).convert("L" if channels == 1 else "RGB"))
            assert got.dtype == np.uint8 and got.shape == (*picture.shape[:2], channels)
            assert np.abs(got.squeeze().astype(int) - want).max() <= (1 if form == "JPEG" else 0)


def test_palette_alpha_and_deep_png(make, pictures):
    prep = make(PadCropFlip)
    for mode in ("P", "RGBA"):
        buffer = io.BytesIO()
        converted = Image.fromarray(pictures[0]).convert(mode)
        converted.save(buffer, "PNG")
        got = prep.decode(buffer.getvalue()).numpy()
        np.testing.assert_array_equal(got, np.array(converted.convert("RGB")))
    deep = tf.io.encode_png(pictures[0].astype(np.uint16) * 257).numpy()
    np.testing.assert_array_equal(prep.decode(deep).numpy(), pictures[0])


def test_input_and_output(make, images, pictures):
    grey = make(PadCropFlip, input_shape=(28, 28, 1), mean=(0.286,), std=(0.353,))
    got = grey.input(example(png(images[5])), training=False)
    assert got.dtype == tf.float32 and got.shape == (28, 28, 1)
    want = (images[5].astype(np.float32) / 255 - np.float32(0.286)) / np.float32(0.353)
    np.testing.assert_allclose(got, want, rtol=1e-6)
    colour = make(PadCropFlip, input_shape=(84, 56, 3))
    got, label = colour(example(png(pictures[0])))
    np.testing.assert_allclose(got, (pictures[0] / np.float32(255) - MEAN) / STD, rtol=1e-5)
    assert label.dtype == tf.int32 and label == 3
    assert make(PadCropFlip, input_shape=(28, 28, 1)).mean == pytest.approx((0.449,), abs=1e-3)


@pytest.mark.parametrize("first", [0, 7, 2**31 - 1])
def test_many_seeds_at_once_are_tensorflows(first):
    seconds = np.array([0, 1, 5, 49_999, 2**31 - 1])
    found = philox.uniform(first, seconds)
    assert found.dtype == np.float32 and found.shape == (5, 4)
    many, normal = philox.uniform(first, seconds, 23), philox.normal(first, seconds, 3)
    np.testing.assert_array_equal(many[:, :4], found)
    for second, numbers, gauss in zip(seconds, many, normal, strict=True):
        seed = tf.constant([first, second], tf.int32)
        for count in (3, 4, 23):
            np.testing.assert_array_equal(numbers[:count], p.uniform(seed, count))
        apart = tf.random.experimental.stateless_fold_in(seed, 1, alg="philox")
        expected = tf.random.stateless_normal([3], apart, alg="philox")
        np.testing.assert_allclose(gauss, expected, atol=1e-6)


def test_a_batch_is_augmented_as_its_images_are(make, images):
    prep = make(PadCropFlip, input_shape=(28, 28, 1))
    batch = prep.transform_batch(tf.constant(images[:20]), philox.uniform(7, np.arange(20)))
    for index in range(20):
        one = prep.transform(tf.constant(images[index]), seed(index))
        np.testing.assert_array_equal(batch[index], one)


@pytest.mark.parametrize("padding", [0, 1, 4])
def test_pad_crop_flip_is_one_of_all_crops(make, images, padding):
    """Each result equals a crop of the image padded with black; all crops are equally frequent."""
    prep = make(PadCropFlip, input_shape=(28, 28, 1), padding=padding)
    image, ways = images[9], 2 * padding + 1
    padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    crops = {}
    for y in range(ways):
        for x in range(ways):
            crop = padded[y : y + 28, x : x + 28]
            crops[crop.tobytes()] = (y, x, 0)
            crops[crop[:, ::-1].tobytes()] = (y, x, 1)
    assert len(crops) == 2 * ways**2
    count = 600
    transform = tf.function(prep.transform, reduce_retracing=True)
    found = np.array([crops[transform(image, seed(i)).numpy().tobytes()] for i in range(count)])
    for column, outcomes in zip(found.T, (ways, ways, 2), strict=True):
        seen = np.bincount(column, minlength=outcomes)
        deviation = math.sqrt(count / outcomes)
        assert len(seen) == outcomes and np.abs(seen - count / outcomes).max() <= 4.5 * deviation


def test_pad_crop_flip_options(make, images):
    still = make(PadCropFlip, input_shape=(28, 28, 1), padding=0, flip=False)
    for i in range(8):
        np.testing.assert_array_equal(still.transform(images[1], seed(i)), images[1])
    prep = make(PadCropFlip, input_shape=(28, 28, 1))
    np.testing.assert_array_equal(prep.transform(images[1], None), images[1])
    padded = prep.input(example(png(images[1] * 0 + 255), 1), training=True).numpy()
    black = (0 - np.float32(prep.mean[0])) / np.float32(prep.std[0])
    assert padded.min() == pytest.approx(black, rel=1e-6)  # padded before normalising


def numpy_box(shape, draws, scale, ratio):
    """torchvision.transforms.RandomResizedCrop.get_params, with given random numbers."""
    height, width = shape
    for i in range(10):
        target = height * width * (scale[0] + draws[i] * (scale[1] - scale[0]))
        low, high = math.log(ratio[0]), math.log(ratio[1])
        aspect = math.exp(low + draws[10 + i] * (high - low))
        w, h = round(math.sqrt(target * aspect)), round(math.sqrt(target / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int(draws[20] * (height - h + 1)), int(draws[21] * (width - w + 1)), h, w
    if width / height < min(ratio):
        w, h = width, round(width / min(ratio))
    elif width / height > max(ratio):
        w, h = round(height * max(ratio)), height
    else:
        w, h = width, height
    return (height - h) // 2, (width - w) // 2, h, w


SHAPES = [(500, 375), (375, 500), (64, 64), (40, 400), (400, 40), (3, 200), (1, 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_random_box_equals_torchvisions_rule(shape):
    numbers = np.random.default_rng(3).random((300, 22), np.float32)
    boxes = mapped(
        lambda draws: p.random_box(tf.constant(shape), draws, (0.08, 1.0), (3 / 4, 4 / 3)), numbers
    )
    want = [numpy_box(shape, d.astype(float), (0.08, 1.0), (3 / 4, 4 / 3)) for d in numbers]
    # float32 against float64: a few values may round differently.
    differing = np.any(boxes != want, axis=1)
    assert differing.mean() <= 0.01 and np.abs(boxes - want).max() <= 1
    top, left, height, width = boxes.T
    assert (top >= 0).all() and (left >= 0).all() and (height > 0).all() and (width > 0).all()
    assert (top + height <= shape[0]).all() and (left + width <= shape[1]).all()


def test_random_box_distribution():
    """With our seeds, area and aspect ratio have the same quartiles as with NumPy's numbers."""
    shape, count = (400, 500), 3000

    def box(index):
        draws = p.uniform(tf.stack([5, index]), 23)
        return p.random_box(tf.constant(shape), draws[:22], (0.08, 1.0), (3 / 4, 4 / 3))

    ours = mapped(box, np.arange(count, dtype=np.int32))
    numbers = np.random.default_rng(0).random((count, 22))
    theirs = np.array([numpy_box(shape, d, (0.08, 1.0), (3 / 4, 4 / 3)) for d in numbers])

    def quartiles(boxes):
        top, left, height, width = boxes.T.astype(float)
        room_y, room_x = np.maximum(shape[0] - height, 1), np.maximum(shape[1] - width, 1)
        values = (height * width / 2e5, np.log(width / height), top / room_y, left / room_x)
        return np.array([np.quantile(v, (0.25, 0.5, 0.75)) for v in values])

    assert np.abs(quartiles(ours) - quartiles(theirs)).max() < 0.04


def test_training_transform_equals_pil(make, pictures):
    """Crop, resize, lighting and flip of the drawn box, done by PIL and NumPy."""
    prep = make(RandomResizedCropFlip, input_shape=(32, 40, 3))
    flips = set()
    for i, picture in enumerate(pictures):
        got = prep.transform(tf.constant(picture), seed(i)).numpy()
        assert got.dtype == np.float32 and got.shape == (32, 40, 3)
        draws = p.uniform(seed(i), 23).numpy()
        top, left, height, width = numpy_box(picture.shape[:2], draws, prep.scale, prep.ratio)
        cropped = Image.fromarray(picture).crop((left, top, left + width, top + height))
        want = np.array(cropped.resize((40, 32), Image.Resampling.BILINEAR)).astype(np.float32)
        want = np.clip(want + p.lighting_shift(seed(i), 0.1).numpy(), 0, 255)
        flips.add(draws[22] < 0.5)
        want = want[:, ::-1] if draws[22] < 0.5 else want
        assert np.abs(got - want).max() < 1.01  # PIL rounds after each of its two passes
    assert flips == {True, False}


def test_lighting_has_the_eigenvectors_covariance():
    shifts = mapped(
        lambda i: p.lighting_shift(tf.stack([1, i]), 0.1), np.arange(4000, dtype=np.int32)
    )
    vectors, values = np.array(p.PCA_EIGENVECTORS), np.array(p.PCA_EIGENVALUES)
    want = vectors @ np.diag((25.5 * values) ** 2) @ vectors.T
    assert np.abs(shifts.mean(0)).max() < 0.3
    np.testing.assert_allclose(np.cov(shifts.T), want, atol=0.08 * want.max())


@pytest.mark.parametrize(("size", "shorter"), [(32, 37), (28, 28), (31, 84)])
def test_evaluation_equals_pil(make, pictures, size, shorter):
    """Shorter side to `resize`, centre crop: torchvision's Resize and CenterCrop."""
    prep = make(RandomResizedCropFlip, input_shape=(size, size, 3), resize=shorter)
    for picture in pictures:
        image = Image.fromarray(picture)
        width, height = image.size
        width, height = (
            (shorter, int(shorter * height / width))
            if width <= height
            else (int(shorter * width / height), shorter)
        )
        top, left = round((height - size) / 2), round((width - size) / 2)
        resized = image.resize((width, height), Image.Resampling.BILINEAR)
        want = np.array(resized.crop((left, top, left + size, top + size)), np.float32)
        got = prep.transform(tf.constant(picture), None).numpy()
        assert np.abs(got - want).max() < 1.01 and np.abs(got - want).mean() < 0.3
        normal = prep.input(example(png(picture)), training=False).numpy()
        np.testing.assert_allclose(normal, (got / 255 - MEAN) / STD, atol=1e-5)


def test_augmentation_depends_on_the_seed_alone(make, pictures):
    for prep in (
        make(PadCropFlip, input_shape=(84, 56, 3)),
        make(RandomResizedCropFlip, input_shape=(32, 32, 3)),
    ):
        run = [prep.transform(tf.constant(pictures[0]), seed(i)).numpy() for i in range(6)]
        tf.random.set_seed(99)
        compiled = tf.function(prep.transform)
        again = [compiled(tf.constant(pictures[0]), seed(i)).numpy() for i in range(6)]
        np.testing.assert_allclose(run, again, atol=1e-4)
        assert len({image.tobytes() for image in run}) == 6


@pytest.mark.parametrize(
    ("component", "fields", "says"),
    [
        (PadCropFlip, {"input_shape": (32, 32, 4)}, "1 or 3"),
        (PadCropFlip, {"mean": (0.5,)}, "mean has 1 values for 3"),
        (PadCropFlip, {"std": (0.2, 0.0, 0.2)}, "must be positive"),
        (RandomResizedCropFlip, {"input_shape": (224, 224, 1)}, "lighting=0"),
        (RandomResizedCropFlip, {"scale": (0.0, 1.0)}, "scale"),
        (RandomResizedCropFlip, {"resize": 200}, "smaller than"),
    ],
)
def test_fields_that_do_not_fit(make, component, fields, says):
    with pytest.raises(InvalidValueError, match=says):
        make(component, **fields).check()
    assert make(RandomResizedCropFlip).resize == 256
