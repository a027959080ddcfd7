"""Photographs as cameras store them: all readers rotate them by their EXIF data, as Pillow does."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from training.data import ImageFolder, PadCropFlip, RandomResizedCropFlip
from zoo import images
from zoo.images import as_png, orientation
from zoo.preprocessing import preprocess_input, read_image

ORIENTATIONS = range(9)  # 0: no EXIF data


def stored(value: int, kind: str, before: bytes = b"") -> bytes:
    """Return a file of a picture without symmetry, with an EXIF orientation."""
    blocks = np.random.default_rng(3).integers(0, 256, (3, 5, 3), dtype=np.uint8)
    exif = Image.Exif()
    if value:
        exif[0x010F], exif[0x0112], exif[0x0132] = "maker", value, "2026:01:02 03:04:05"
    file = io.BytesIO()
    options = {"lossless": True} if kind == "WEBP" else {}
    Image.fromarray(blocks.repeat(8, 0).repeat(8, 1)).save(file, kind, exif=exif, **options)
    contents = file.getvalue()
    return contents[:2] + before + contents[2:] if before else contents


def seen(contents: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(contents)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("value", ORIENTATIONS)
def test_pixels_are_those_that_people_see(make, tmp_path, kind, value):
    contents = stored(value, kind)
    decode = make(PadCropFlip, input_shape=(24, 40, 3)).decode
    np.testing.assert_array_equal(decode(tf.constant(as_png(contents))), seen(contents))
    path = tmp_path / "picture"
    path.write_bytes(contents)
    found = read_image(path).astype(int)
    assert found.shape == seen(contents).shape
    assert np.abs(found - seen(contents)).max() <= (4 if kind == "JPEG" else 0)  # a faster DCT


def little_endian(value: int, count: int = 1, kind: int = 3) -> bytes:
    entry = struct.pack("<HHI", 0x0112, kind, count) + struct.pack("<I", value)
    tiff = b"II*\0" + struct.pack("<IH", 8, 1) + entry + b"\0\0\0\0"
    segment = b"Exif\0\0" + tiff
    return b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment


def test_both_orders_of_bytes_and_parts_before():
    comment = b"\xff\xfe" + struct.pack(">H", 12) + b"Exif\0\0 no "
    for before, value in (
        (little_endian(6), 6),
        (little_endian(8, kind=4), 8),
        (comment + little_endian(3), 3),
        (b"\xff\xff\xff" + little_endian(5), 5),
        (little_endian(77), 0),
    ):
        contents = stored(0, "JPEG", before)
        assert int(orientation(tf.constant(contents))) == value


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\xff\xd8",
        b"\x89PNG\r\n\x1a\n",
        b"Exif\0" * 9,
        b"\xff\xd8" + b"\xff" * 99,
        b"\xff\xd8\xff\xe1\xff\xffExif\0\0MM\0*\xff\xff\xff\xff",
        stored(6, "JPEG")[:40],
        b"\x89PNG\r\n\x1a\n" + b"\xff" * 8 + b"eXIf",
    ],
)
def test_damaged_files_are_not_turned(damaged):
    assert int(orientation(tf.constant(damaged))) == 0


@pytest.mark.parametrize("value", [3, 6])
def test_training_evaluation_and_prediction_see_the_same(make, tmp_path, value):
    turned, upright = stored(value, "JPEG"), stored(0, "JPEG")
    for name, contents in (("turned", turned), ("upright", upright)):
        for split in ("train", "val"):
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / "1.jpg").write_bytes(contents)
    data = make(ImageFolder, data_dir=tmp_path)
    how = make(RandomResizedCropFlip, input_shape=(24, 24, 3), lighting=0.0, flip=False)
    first, second = data.examples("train")
    seed = tf.constant([1, 2])
    for training in (False, True):
        images = [
            how.pixels(example | {"seed": seed}, training).numpy() for example in (second, first)
        ]
        assert np.abs(images[0] - images[1]).mean() > 5  # it is not the same picture
    again = seen(turned)
    png = io.BytesIO()
    Image.fromarray(again).save(png, "PNG")
    expected = how.pixels({"image": tf.constant(png.getvalue())}, False)
    np.testing.assert_array_equal(how.pixels(first, False), expected)
    (tmp_path / "1.png").write_bytes(png.getvalue())
    paths = (tmp_path / "train" / "turned" / "1.jpg", tmp_path / "1.png")
    one, other = (preprocess_input(path, "cifar10") for path in paths)
    np.testing.assert_allclose(one, other, atol=0.1)


def test_many_data_sets_share_one_search(make):
    """Its graph of hundreds of operations would take a data set up to a second to make."""
    preprocessing = make(PadCropFlip, input_shape=(24, 40, 3))
    for _ in range(2):
        tf.data.Dataset.from_tensors(stored(6, "JPEG")).map(preprocessing.decode)
    assert images._search().experimental_get_tracing_count() == 1
