"""The embedded data set: its contents, its small size, and that its script wrote it."""

import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tools import prepare_fashion_mnist as prepare
from training.data import CIFAR10_SAMPLE
from zoo.errors import DatasetError
from zoo.pretrained.records import class_names

FOLDER = prepare.EMBEDDED_DIR / prepare.NAME / prepare.VERSION
DEBIAN = "/usr/share/datasets/fashion-mnist"
SOURCE = Path(os.environ.get("FASHION_MNIST_SOURCE", DEBIAN))
MANIFEST = Path(__file__).with_name("fashion_mnist_small.sha256")  # as sha256sum prints it


def checksums(folder: Path) -> str:
    files = sorted(folder.iterdir())
    return "".join(f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.name}\n" for f in files)


def test_counts_balance_and_order(fashion):
    for split, per_class in (("train", 1000), ("test", 200)):
        batches = fashion.examples(split).batch(1000).as_numpy_iterator()
        labels = np.concatenate([batch["label"] for batch in batches])
        assert fashion.num_examples(split) == len(labels) == 10 * per_class
        # Classes take turns: any ten neighbours hold every class.
        np.testing.assert_array_equal(labels, np.tile(np.arange(10), per_class))


def test_at_most_six_megabytes_with_its_licence():
    files = [f for f in (prepare.EMBEDDED_DIR / prepare.NAME).rglob("*") if f.is_file()]
    assert sum(f.stat().st_size for f in files) <= 6_000_000
    assert "Zalando SE" in (prepare.EMBEDDED_DIR / prepare.NAME / "LICENSE").read_text()


def test_nothing_of_the_machine_is_inside():
    for file in FOLDER.iterdir():
        content = file.read_bytes()
        assert b"/home/" not in content and b"/tmp/" not in content
        assert str(prepare.EMBEDDED_DIR).encode() not in content


@pytest.mark.parametrize("split", prepare.SPLITS)
def test_tfds_reads_the_same_images_without_builder_code(fashion, split):
    builder = tfds.builder(prepare.NAME, data_dir=str(prepare.EMBEDDED_DIR))
    assert builder.info.features["label"].names == prepare.CLASS_NAMES
    theirs = builder.as_dataset(split=split, shuffle_files=False)
    assert theirs.element_spec["image"] == tf.TensorSpec((28, 28, 1), tf.uint8)
    ours = fashion.examples(split).map(lambda e: tf.io.decode_png(e["image"]))
    pairs = tf.data.Dataset.zip((theirs, ours)).batch(1000).as_numpy_iterator()
    images = [(t["image"], o) for t, o in pairs]
    theirs, ours = map(np.concatenate, zip(*images, strict=True))
    np.testing.assert_array_equal(theirs, ours)
    assert len(ours) == 10 * prepare.SPLITS[split][1] and ours.std() > 50
    if SOURCE.is_dir():
        originals = np.stack([image for image, _ in prepare.original_images(SOURCE, split)])
        np.testing.assert_array_equal(theirs, originals)


def test_works_without_network(tmp_path):
    """In a separate process in which every connection fails."""
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise OSError('no network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from training.data import FashionMNIST\n"
        "from zookeeper import configure\n"
        "d = FashionMNIST(); configure(d, {}, interactive=False)\n"
        "print(len(list(d.examples('test').batch(100))))\n"
    )
    env = {**os.environ, "HOME": str(tmp_path), "TF_USE_LEGACY_KERAS": "1"}
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == "20"


@pytest.mark.slow
def test_rebuilt_byte_for_byte(tmp_path):
    # Without the originals (30 MB, not in the repository), take the images of the committed files.
    # Their encoding is still checked; the manifest has the facts that cannot be derived.
    if SOURCE.is_dir():
        images = {split: prepare.original_images(SOURCE, split) for split in prepare.SPLITS}
    else:
        builder = tfds.builder_from_directory(FOLDER)
        images = {
            split: (
                (e["image"], int(e["label"]))
                for e in tfds.as_numpy(builder.as_dataset(split=split))
            )
            for split in prepare.SPLITS
        }
    assert checksums(prepare.write(tmp_path, images)) == checksums(FOLDER) == MANIFEST.read_text()


def test_command(tmp_path, capsys):
    assert prepare.main([]) == 2 and "SOURCE_DIR" in capsys.readouterr().out
    assert prepare.main([str(tmp_path)]) == 2
    assert "four original" in capsys.readouterr().err
    with pytest.raises(DatasetError, match="four original"):
        prepare.read_idx(tmp_path / "train-images-idx3-ubyte.gz")


def test_the_sample_of_cifar10_is_ten_images_of_each_class():
    files = sorted(CIFAR10_SAMPLE.glob("*/*.png"))
    names = [name for _, name in class_names("cifar10")]
    assert Counter(file.parent.name for file in files) == dict.fromkeys(names, 10)
    for file in files:
        assert tf.io.decode_png(file.read_bytes()).shape == (32, 32, 3)
    # The first ten of each class in ten thousand, by their position.
    assert all(0 <= int(file.stem) < 300 for file in files)
    assert len({file.read_bytes() for file in files}) == 100
    assert sum(file.stat().st_size for file in files) < 300_000
