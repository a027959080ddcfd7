"""Run the models on the targets; make the rows of `results/c_targets.csv`."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import zoo
from tools.c_targets.cortex_m import M4, M7, Core, Part, build_firmware, run_firmware
from tools.c_targets.targets import EMULATED, NAME, PORTABLE, X86, Builder, Results, Target
from training.commands.saved_network import without_softmax
from training.data import CIFAR10_SAMPLE
from zoo.deploy import to_c
from zoo.errors import DeployError
from zoo.pretrained.records import shipped_sets

SHIPPED = tuple(dict.fromkeys(each.model for each in shipped_sets()))
HEAVY = ("RealResNet20", "SDBNNVGGSmall")  # emulators need a second or more per image
# The memory of, for example, ST's STM32F401RE: 512 KB of flash and 96 KB of RAM.
SMALL_PART = Part(flash=512 << 10, ram=96 << 10)
ON_SMALL_PART = ("ReActNet20", "SDBNNResNet20")
CORES = (M4, M7)
COLUMNS = ("model", "weights", "target", "images", "equal", "note")
FIRMWARE_COLUMNS = (
    "model",
    "core",
    "images",
    "equal",
    "flash",
    "ram",
    "stack",
    "workspace",
    "instructions",
)


def sample_images() -> np.ndarray:
    """Return the test images of CIFAR-10 in the package, uint8 (100, 32, 32, 3)."""
    import tensorflow as tf

    files = sorted(CIFAR10_SAMPLE.glob("*/*.png"))
    return np.stack([tf.io.decode_png(file.read_bytes(), 3).numpy() for file in files])


@dataclass
class Case:
    """An exported model, with images for it.

    Attributes:
        images: float32 (batch, height, width, channels), normalised.
        pixels: the same images as bytes, or None if they are random numbers.
    """

    model: str
    weights: str
    directory: Path
    workspace: int
    outputs: int
    images: np.ndarray
    pixels: np.ndarray | None


def exported(model: str, directory: Path) -> Case:
    """Export a shipped network with embedded images, or another one with random weights and image.

    Raises:
        DeployError: the model cannot be exported to C.
    """
    import tensorflow as tf

    tf.keras.backend.clear_session()
    gc.collect()
    tf.keras.utils.set_random_seed(0)
    weights, pixels = ("cifar10", sample_images()) if model in SHIPPED else (None, None)
    if pixels is not None and model in HEAVY:
        pixels = pixels[::10]
    network = without_softmax(zoo.get_model(model, weights=weights))  # libraries' exp differs
    if pixels is None:
        shape = (1, *network.input_shape[1:])
        images = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    else:
        images = zoo.preprocess_input(pixels, "cifar10").astype(np.float32)
    workspace = to_c(network, directory, name=NAME).workspace
    outputs = int(np.prod(network.output_shape[1:]))
    return Case(model, weights or "random", directory, workspace, outputs, images, pixels)


def run_on_all(case: Case, builder: Builder) -> Iterator[dict[str, Any]]:
    """Yield a row for each emulated target, compared with this machine's results."""
    expected: dict[bool, Results] = {}
    for target in (X86, PORTABLE):
        program = builder.build(target, case.directory)
        if target.fused and program.kernels == "portable C":
            raise DeployError("The matrix needs a CPU with AVX2, which rounds like NEON.")
        expected[target.fused] = program.run(case.images, case.outputs)
    for target in EMULATED:
        yield {**_row(case, target), **_compared(case, target, builder, expected[target.fused])}


def _row(case: Case, target: Target) -> dict[str, Any]:
    return {
        "model": case.model,
        "weights": case.weights,
        "target": target.name,
        "images": len(case.images),
    }


def _compared(case: Case, target: Target, builder: Builder, expected: Results) -> dict[str, Any]:
    try:
        found = builder.build(target, case.directory).run(case.images, case.outputs)
    except DeployError as error:
        return {"equal": "", "note": str(error)}
    return {"equal": "yes" if found.same_as(expected) else "no", "note": ""}


def run_on_cores(case: Case, builder: Builder, cores: Iterable[Core]) -> Iterator[dict[str, Any]]:
    """Yield a row per microcontroller: memory, instructions, and whether results are equal."""
    assert case.pixels is not None
    expected = builder.build(PORTABLE, case.directory).run(case.images, case.outputs)
    for core in cores:
        watched = build_firmware(core, SMALL_PART, case.directory, optimize="-O3")
        found = run_firmware(watched, case.pixels, case.outputs)
        firmware = build_firmware(core, SMALL_PART, case.directory, optimize="-O3", watch=False)
        counted = run_firmware(firmware, case.pixels, case.outputs)
        yield {
            "model": case.model,
            "core": core.name,
            "images": len(case.images),
            "equal": "yes" if found.results.same_as(expected) else "no",
            "flash": firmware.flash,
            "ram": firmware.ram,
            "stack": counted.stack,
            "workspace": case.workspace,
            "instructions": round(counted.instructions.mean()),
        }


def rows_of(model: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return a model's rows for both tables; if it cannot be exported, one row says why."""
    with TemporaryDirectory() as folder:
        try:
            case = exported(model, Path(folder) / "c")
        except DeployError as error:
            row = {
                "model": model,
                "weights": "",
                "target": "",
                "images": 0,
                "equal": "",
                "note": str(error),
            }
            return [row], []
        builder = Builder(kernels_folder())
        rows = list(run_on_all(case, builder))
        small = list(run_on_cores(case, builder, CORES)) if model in ON_SMALL_PART else []
        return rows, small


_KERNELS: list[TemporaryDirectory[str]] = []


def kernels_folder() -> Path:
    """Return the folder for compiled kernels; it is deleted when this process ends."""
    if not _KERNELS:
        _KERNELS.append(TemporaryDirectory())
    return Path(_KERNELS[0].name)
