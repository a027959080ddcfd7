"""Make the embedded data set from the original Fashion-MNIST files.

    python -m tools.prepare_fashion_mnist SOURCE_DIR [OUTPUT_DIR]

SOURCE_DIR holds the four original `*-ubyte.gz` files (github.com/zalandoresearch/fashion-mnist,
or Debian's package dataset-fashion-mnist in /usr/share/datasets/fashion-mnist). OUTPUT_DIR becomes
a directory that tensorflow-datasets reads without any builder code. Needs the package zopfli
(`pip install '.[data]'`).

The selection is fixed: the first images of each class in file order, 1,000 per class from the
original training images and 200 per class from the original test images. The classes take turns
(first of class 0, first of class 1, ..., second of class 0, ...), so any ten neighbours contain
every class. An image is stored as its 784 bytes in a zlib stream made by zopfli: 12,000 images fit
in 6 MB; as PNG they would not fit. The output does not depend on the time, the machine or chance:
the same source and the pinned version of zopfli give the same bytes.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
import zopfli.zlib

from training.data import EMBEDDED_DIR
from zoo.errors import DatasetError
from zoo.files import expanded

NAME, VERSION = "fashion_mnist_small", "1.0.0"
CLASS_NAMES = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
]
# split: (prefix of the original files, images per class)
SPLITS = {"train": ("train", 1000), "test": ("t10k", 200)}


def read_idx(path: Path) -> np.ndarray:
    """Return the uint8 array in a gzipped idx file: [n, 28, 28] images or [n] labels."""
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise DatasetError(
            f"Cannot read {path} ({error}): give the folder with the four original "
            "Fashion-MNIST files (*-ubyte.gz)."
        ) from error
    rank = content[3]  # the idx header: two zero bytes, the type, the rank, big-endian dimensions
    shape = np.frombuffer(content, ">i4", count=rank, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


def select(labels: np.ndarray, per_class: int) -> np.ndarray:
    """Return the indices of the first `per_class` images of each class; classes take turns."""
    columns = [np.flatnonzero(labels == c)[:per_class] for c in range(len(CLASS_NAMES))]
    return np.stack(columns, axis=1).reshape(-1)


def original_images(source: Path, split: str) -> Iterator[tuple[np.ndarray, int]]:
    """Yield the selected images, uint8 [28, 28, 1], and their labels."""
    prefix, per_class = SPLITS[split]
    images = read_idx(source / f"{prefix}-images-idx3-ubyte.gz")
    labels = read_idx(source / f"{prefix}-labels-idx1-ubyte.gz")
    for index in select(labels, per_class):
        yield images[index, :, :, None], int(labels[index])


def encode_example(image: np.ndarray, label: int) -> bytes:
    """Return a serialised tf.train.Example.

    Splitting into blocks would save 1% and take 100 times as long; more iterations would save
    almost nothing.
    """
    stream = zopfli.zlib.compress(image.tobytes(), numiterations=1, blocksplitting=False)
    features = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[stream])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def write(output: Path, images: dict[str, Iterator[tuple[np.ndarray, int]]]) -> Path:
    """Write the prepared directory NAME/VERSION under `output`; `images` is keyed by split."""
    folder = output / NAME / VERSION
    folder.mkdir(parents=True, exist_ok=True)
    template = tfds.core.ShardedFileTemplate(
        data_dir=folder, dataset_name=NAME, filetype_suffix="tfrecord"
    )
    splits = []
    for split, pairs in images.items():
        records = [encode_example(image, label) for image, label in pairs]
        with tf.io.TFRecordWriter(
            str(folder / f"{NAME}-{split}.tfrecord-00000-of-00001")
        ) as writer:
            for record in records:
                writer.write(record)
        splits.append(
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[len(records)],
                num_bytes=sum(map(len, records)),
                filename_template=template.replace(split=split),
            )
        )
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=tfds.features.FeaturesDict(
            {
                "image": tfds.features.Tensor(shape=(28, 28, 1), dtype=np.uint8, encoding="zlib"),
                "label": tfds.features.ClassLabel(names=CLASS_NAMES),
            }
        ),
        split_infos=splits,
        version=VERSION,
        supervised_keys=("image", "label"),
        homepage="https://github.com/zalandoresearch/fashion-mnist",
        description="The first 1,000 training and 200 test images of each class of Fashion-MNIST.",
        citation="Xiao, Rasul, Vollgraf: Fashion-MNIST: a Novel Image Dataset for Benchmarking "
        "Machine Learning Algorithms, arXiv 1708.07747, 2017.",
        check_data=False,
    )
    return folder


def main(arguments: list[str]) -> int:
    """Run the command; return its exit code."""
    if len(arguments) not in (1, 2):
        print(__doc__)
        return 2
    source = expanded(arguments[0])
    output = expanded(arguments[1]) if len(arguments) == 2 else EMBEDDED_DIR
    try:
        print(write(output, {split: original_images(source, split) for split in SPLITS}))
    except DatasetError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
