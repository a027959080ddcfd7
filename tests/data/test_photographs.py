"""Pillow's crops of photographs against TensorFlow's: same crops, values equal up to rounding."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from zookeeper import component

from training.data import ImageFolder, PadCropFlip, RandomResizedCropFlip, philox
from training.data import preprocessing as p
from training.data.photographs import Lighting, RandomCrops, opened, random_boxes, readable
from training.data.pipeline import InputPipeline

KEY = 11


def photograph(images, width, height) -> Image.Image:
    """Return a smooth coloured picture of real images, like a photograph of a poster."""
    rows = [np.concatenate(list(images[10 * i : 10 * i + 10, :, :, 0]), 1) for i in range(10)]
    grey = Image.fromarray(np.concatenate(rows)).resize((width, height), Image.Resampling.BICUBIC)
    turned = grey.transpose(Image.Transpose.ROTATE_180)
    return Image.merge("RGB", [grey, turned, grey.transpose(Image.Transpose.FLIP_LEFT_RIGHT)])


def saved(image, form="JPEG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def oriented(value) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def crops(prep) -> RandomCrops:
    return RandomCrops(prep.input_shape, prep.scale, prep.ratio, prep.lighting, prep.flip)


def by_tensorflow(prep, content: bytes, position: int) -> np.ndarray:
    seed = tf.constant([KEY, position], tf.int32)
    return prep.transform(prep.decode(content), seed).numpy()


@pytest.mark.parametrize("shape", [(500, 375), (64, 64), (40, 400), (400, 40), (3, 200), (1, 1)])
def test_the_parts_are_those_of_tensorflow(shape):
    draws = philox.uniform(KEY, np.arange(200), 23)
    for scale, ratio in (((0.08, 1.0), (3 / 4, 4 / 3)), ((0.5, 0.6), (1.2, 1.3))):

        def box(numbers, scale=scale, ratio=ratio):
            return p.random_box(tf.constant(shape), numbers, scale, ratio)

        data = tf.data.Dataset.from_tensor_slices(draws[:, :22]).map(box)
        expected = list(data.as_numpy_iterator())
        found = random_boxes(np.array([shape] * len(draws)), draws, scale, ratio)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_tensorflows_but_for_roundings(make, images, channels):
    lighting = 0.1 if channels == 3 else 0.0
    prep = make(RandomResizedCropFlip, input_shape=(48, 56, channels), lighting=lighting)
    contents = [saved(photograph(images, 90 + i, 70)) for i in range(8)]
    contents[1] = saved(photograph(images, 80, 80).convert("L"))
    contents[2] = saved(photograph(images, 80, 80), "PNG")
    contents[3] = saved(photograph(images, 80, 80).convert("RGBA"), "PNG")
    for number, orientation in ((4, 6), (5, 3), (6, 5)):
        contents[number] = saved(photograph(images, 100, 60), exif=oriented(orientation))
    positions = np.array([3, 1, 4, 15, 92, 65, 35, 89])
    found, kept = crops(prep).pixels(contents, KEY, positions)
    assert found.dtype == np.uint8 and kept.tolist() == list(range(8))
    for content, position, pixels in zip(contents, positions, found, strict=True):
        difference = np.abs(by_tensorflow(prep, content, position) - pixels)
        assert difference.max() <= 2.01  # two roundings, and a difference of the JPEG decoders
        assert difference.mean() < 0.6


@pytest.mark.parametrize(
    "mode, options",
    [
        ("RGB", {"subsampling": 0}),
        ("RGB", {"subsampling": 1, "optimize": True}),
        ("RGB", {"subsampling": 2, "restart_marker_rows": 2}),
        ("RGB", {"exif": oriented(1)}),
        ("L", {}),
        ("CMYK", {}),
    ],
)
def test_rows_below_a_crop_are_not_decoded(images, mode, options):
    content = saved(photograph(images, 130, 150).convert(mode), **options)
    whole = np.asarray(Image.open(io.BytesIO(content)))
    for rows in (1, 15, 16, 17, 31, 100, 133):
        part = opened(content).image(rows)
        assert part.size == (130, rows + 8)
        np.testing.assert_array_equal(np.asarray(part)[:rows], whole[:rows])
    for rows in (142, 150, None):
        np.testing.assert_array_equal(opened(content).image(rows), whole)


def test_what_the_smaller_height_could_change_is_decoded_to_its_end(make, images):
    picture = photograph(images, 130, 150)
    assert opened(saved(picture, progressive=True)).image(20).size == (130, 150)
    assert opened(saved(picture, exif=oriented(3))).image(20).size == (130, 150)
    prep = make(RandomResizedCropFlip, input_shape=(32, 32, 3))
    truncated = saved(picture)[:-300]
    assert readable(saved(picture)) and not readable(truncated)
    assert not crops(prep).pixels([truncated] * 20, KEY, np.arange(20))[1].size


def test_orientations_are_those_of_tensorflow(make, images):
    """Also in files of 16 bits, and unknown numbers, which turn nothing."""
    prep = make(RandomResizedCropFlip, input_shape=(24, 24, 3), lighting=0.0)
    picture = photograph(images, 120, 40)
    deep = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 256)
    contents = [saved(picture, exif=oriented(value)) for value in (0, 5, 7, 8, 9, 77)]
    contents.append(saved(deep, "PNG", exif=oriented(6)))
    found, kept = crops(prep).pixels(contents, KEY, np.arange(len(contents)))
    assert kept.tolist() == list(range(len(contents)))
    for position, pixels in enumerate(found):
        difference = np.abs(by_tensorflow(prep, contents[position], position) - pixels)
        assert difference.mean() < 0.6, position


def test_what_cannot_be_decoded_is_left_out(make, images):
    prep = make(RandomResizedCropFlip, input_shape=(32, 32, 3))
    whole = saved(photograph(images, 90, 70))
    found, kept = crops(prep).pixels([b"", whole, whole[:500], b"GIF89a"], KEY, np.arange(4))
    assert kept.tolist() == [1] and found.shape == (1, 32, 32, 3)
    alone, _ = crops(prep).pixels([whole], KEY, np.array([1]))
    np.testing.assert_array_equal(found, alone)  # each image has its own seed
    batch = np.zeros((3, 32, 32, 3), np.uint8)
    found, _ = crops(prep).pixels([whole], KEY, np.array([1]), into=batch[1:2])
    np.testing.assert_array_equal(batch[1:2], alone)
    assert not batch[[0, 2]].any() and np.shares_memory(found, batch)


def test_large_photographs_are_decoded_smaller(make, images):
    """Decoded at an eighth of the size, close to a resize of the whole; an offset of one pixel
    would give 12."""
    prep = make(RandomResizedCropFlip, input_shape=(32, 32, 3), lighting=0.0)
    contents = [saved(photograph(images, 1200, 900))]
    for orientation in (3, 6, 8):
        contents.append(saved(photograph(images, 900, 1200), exif=oriented(orientation)))
    for content in contents:
        found, _ = crops(prep).pixels([content] * 4, KEY, np.arange(4))
        for position, pixels in enumerate(found):
            difference = np.abs(by_tensorflow(prep, content, position) - pixels)
            assert difference.mean() < 2.5 and difference.max() < 40  # hard edges everywhere


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_the_pipeline_gives_the_same_batches_either_way(make, folder, cache):
    """Equal positions, labels and unreadable files; pixels up to rounding; also after a resume."""
    (folder / "train" / "bags" / "3.png").write_bytes(b"\x89PNG no image")
    prep = make(RandomResizedCropFlip, input_shape=(24, 24, 3))
    data = make(ImageFolder, data_dir=str(folder))

    def batches(photographs, position=0):
        pipeline = InputPipeline(
            data,
            prep,
            batch_size=6,
            seed=4,
            cache=cache,
            corrupt_share=0.1,
            photographs=photographs,
        )
        found = pipeline.train(1, position)
        assert found.options().autotune.enabled is False
        return list(found.as_numpy_iterator())

    ours, theirs = batches("pillow"), batches("tensorflow")
    assert len(ours) == len(theirs) > 3
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one["position"], other["position"])
        np.testing.assert_array_equal(one["label"], other["label"])
        assert one["image"].dtype == np.uint8
        difference = np.abs(prep.normalise(one["image"]) - other["image"]) * 255 * prep.std
        assert difference.max() < 2.1
    rest = batches("pillow", int(ours[1]["position"][-1]) + 1)
    for one, other in zip(ours[2:], rest, strict=False):
        np.testing.assert_array_equal(one["image"], other["image"])


def test_a_class_with_its_own_transform_keeps_it(make):
    class Grey(RandomResizedCropFlip):
        def transform(self, image, seed):
            return super().transform(image, seed) * 0.5

    class Named(RandomResizedCropFlip):
        """Nothing of its own."""

    assert make(component(Grey)).random_crops() is None
    assert make(component(Named)).random_crops() is not None
    assert make(PadCropFlip).random_crops() is None


def test_lighting_is_rounded_like_the_sum():
    random = np.random.default_rng(0)
    shifts = random.normal(scale=30, size=(50, 3)).astype(np.float32)
    shifts[0], shifts[1] = (0.49999997, -0.5, 0.5), (300, -300, 2.5)  # as large as a rounding
    pixels = random.integers(256, size=(20, 24, 3), dtype=np.uint8)
    light = Lighting(shifts, 24)
    assert not light.equal[0] and light.equal.sum() > 40
    for index, shift in enumerate(shifts):
        expected = np.rint(np.clip(pixels.astype(np.float32) + shift, 0, 255))
        np.testing.assert_array_equal(light.on(index, pixels), expected)


def test_an_epoch_that_is_left_keeps_few_crops(make, folder):
    prep = make(RandomResizedCropFlip, input_shape=(24, 24, 3))
    data = make(ImageFolder, data_dir=str(folder))
    pipeline = InputPipeline(data, prep, batch_size=6, seed=4, cache="none", photographs="pillow")
    epochs = [iter(pipeline.train(epoch)) for epoch in (0, 1)]
    for batches in zip(*epochs, strict=True):  # two at a time do not disturb each other
        assert batches[0]["image"].shape == batches[1]["image"].shape
    for epoch in range(2, 8):
        next(iter(pipeline.train(epoch)))
    assert {epoch for epoch, _ in pipeline._threads._waiting} <= {6, 7}
