"""Measure photographs per second of the input pipeline, and of a Pillow loader in PyTorch.

    python -m benchmarks.photographs FOLDER [--workers 2] [--rounds 3]

FOLDER holds a folder of JPEG files for each class, such as a part of ImageNet. Each loader makes
batches of 128 random resized crops of 224x224, flipped at random, for one epoch per round; the
loaders take turns. `lqz train` uses "pillow"; before, it used "tensorflow", and it still does with
a data service. "program" is the loader of training programs, which have the files in memory. If
PyTorch is installed, its DataLoader with `--workers` processes does torchvision's steps, written
here with Pillow. CPU time is the sum over all processes.

No loader changes colours (`lighting=0`). Our images are uint8, and the training step normalises
them; PyTorch's are normalised float32.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import random
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

BATCH, SIDE = 128, 224


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its ended child processes."""
    own, children = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def ours(folder: Path, cuts: str) -> Callable[[int], Iterator[int]]:
    """Return a function that runs an epoch of `InputPipeline` and yields each batch's size."""
    from training.data import ImageFolder, RandomResizedCropFlip
    from training.data.pipeline import InputPipeline
    from zoo.adapters.zookeeper import configure

    data, preprocessing = ImageFolder(), RandomResizedCropFlip()
    configure(data, {"data_dir": str(folder)}, interactive=False)
    configure(preprocessing, {"lighting": 0}, interactive=False)
    pipeline = InputPipeline(
        data, preprocessing, batch_size=BATCH, seed=0, cache="none", photographs=cuts
    )

    def epoch(number: int) -> Iterator[int]:
        for batch in pipeline.train(number):
            yield batch["image"].shape[0]

    return epoch


def programs(folder: Path) -> Callable[[int], Iterator[int]]:
    """Do the same with the loader of training programs."""
    from training.data.photographs import RandomCrops
    from training.portable.photograph_batches import PhotographBatches

    contents = [path.read_bytes() for path in sorted(folder.glob("**/*.jp*g"))]
    sizes = np.array([len(each) for each in contents])
    crops = RandomCrops((SIDE, SIDE, 3), (0.08, 1.0), (3 / 4, 4 / 3), lighting=0, flip=True)
    loader = PhotographBatches([b"".join(contents)], sizes, crops)

    def epoch(number: int) -> Iterator[int]:
        positions = np.arange(len(sizes) // BATCH * BATCH).reshape(-1, BATCH)
        order = np.random.default_rng(number).permutation(len(sizes))
        for batch in loader.batches(number, positions, order[positions]):
            yield len(batch)

    return epoch


def pytorchs(folder: Path, workers: int) -> Callable[[int], Iterator[int]]:
    """Do the same with a DataLoader and torchvision's RandomResizedCrop, flip, normalisation."""
    import torch
    from torch.utils.data import DataLoader, Dataset

    paths = sorted(folder.glob("**/*.jp*g"))

    class Photographs(Dataset):
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, index: int) -> Any:
            from PIL import Image

            image = Image.open(paths[index]).convert("RGB")
            left, top, width, height = random_box(image.width, image.height)
            image = image.crop((left, top, left + width, top + height))
            image = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
            if random.random() < 0.5:
                image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
            mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
            std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
            return (pixels.float().div(255) - mean) / std

    def epoch(number: int) -> Iterator[int]:
        loader = DataLoader(Photographs(), BATCH, shuffle=True, num_workers=workers, drop_last=True)
        for batch in loader:
            yield len(batch)

    return epoch


def random_box(width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, width and height of torchvision's RandomResizedCrop, without its fallback."""
    for _ in range(10):
        area = width * height * random.uniform(0.08, 1.0)
        ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return random.randint(0, width - w), random.randint(0, height - h), w, h
    return 0, 0, width, height


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=2, help="processes of PyTorch's loader")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    loaders = {cuts: ours(options.folder, cuts) for cuts in ("pillow", "tensorflow")}
    loaders["program"] = programs(options.folder)
    if importlib.util.find_spec("torch"):
        loaders["PyTorch's"] = pytorchs(options.folder, options.workers)
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in loaders}
    for number in range(options.rounds + 1):  # the first round warms up
        for name, epoch in loaders.items():
            began, cpu = time.perf_counter(), cpu_seconds()
            images = sum(epoch(number))
            seconds, cpu = time.perf_counter() - began, cpu_seconds() - cpu
            if number:
                figures[name].append((images / seconds, 1000 * cpu / images))
    print(
        f"{'loader':12}{'images/s':>10}{'CPU ms each':>14}   (medians of {options.rounds} rounds)"
    )
    for name, rounds in figures.items():
        speed, cpu = np.median(np.array(rounds), axis=0)
        print(f"{name:12}{speed:10.0f}{cpu:14.2f}")


if __name__ == "__main__":
    main()
