"""The images of a training program: parts of a size that can be given, read again unchanged."""

import io

import numpy as np

from training.portable import photograph_batches
from training.portable.images import joined, packed


def test_photographs_keep_to_the_size_of_a_part():
    random = np.random.default_rng(0)
    files = [random.bytes(size) for size in (10, 90, 50, 0, 51, 200, 1)]
    parts = list(joined(files, 100))
    assert [(len(content), count) for content, count in parts] == [
        (100, 2),
        (50, 2),
        (51, 1),
        (200, 1),
        (1, 1),
    ]
    sizes = np.array([len(each) for each in files])
    batches = photograph_batches.PhotographBatches([part for part, _ in parts], sizes, crops=None)
    assert [batches.file(i) for i in range(len(files))] == files


def test_packed_images_keep_to_the_size_of_a_part(runner):
    from PIL import Image

    random = np.random.default_rng(0)
    for channels in (1, 3):
        images = random.integers(256, size=(700, 28, 20, channels), dtype=np.uint8)  # WebP's worst
        parts = list(packed(images, 2**18))
        assert len(parts) > 2 and max(len(content) for content, _ in parts) <= 2**18
        assert sum(count for _, count in parts) == len(images)
        program = object.__new__(runner.Program)
        program.manifest = {
            "image_shape": [28, 20, channels],
            "images": [[str(i), count] for i, (_, count) in enumerate(parts)],
        }
        contents = {str(i): content for i, (content, _) in enumerate(parts)}
        np.testing.assert_array_equal(program._images(contents), images)
        assert Image.open(io.BytesIO(parts[0][0])).format == "WEBP"
        small = list(packed(images[:9], 4 * 28 * 20 * 2))  # less than a row of 100 images
        assert [count for _, count in small] == [2, 2, 2, 2, 1]
