"""Make the embedded sample of CIFAR-10's test images.

    python -m tools.sample_cifar10 [DATA_DIR]

DATA_DIR is the folder in which tensorflow-datasets has prepared CIFAR-10 (default: $TFDS_DATA_DIR,
else ~/tensorflow_datasets). The sample is the first ten test images of each class, as
CLASS/NUMBER.png: the file is copied unchanged from the prepared data set, and the number is the
image's position in the test split.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from training.data import CIFAR10_SAMPLE
from training.data.datasets import Cifar10

IMAGES_PER_CLASS = 10


def main(data_dir: str | None = None, output: Path = CIFAR10_SAMPLE) -> None:
    """Write the sample to `output`, with a folder per class."""
    dataset = Cifar10()
    if data_dir:
        dataset.data_dir = data_dir
    taken: Counter[int] = Counter()
    for position, example in enumerate(dataset.examples("test").as_numpy_iterator()):
        label = int(example["label"])
        if taken[label] < IMAGES_PER_CLASS:
            taken[label] += 1
            folder = output / dataset.class_names[label]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{position:05}.png").write_bytes(example["image"])


if __name__ == "__main__":
    main(next(iter(sys.argv[1:]), None))
