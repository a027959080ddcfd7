"""Write training steps for `accelerator_run.py`, which times them on a GPU without TensorFlow.

Run from the repository root: python -m benchmarks.accelerator DIR; copy DIR to the machine with the
GPU, and there: python DIR/accelerator_run.py. It needs JAX, and PyTorch for the plain steps.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import zoo
from training.loop.optimizers import adam, sgd
from training.loop.stage import Stage
from training.loop.step import TrainStep
from training.portable import program
from training.portable.lowering import lower, read
from zoo.files import write_json

# Batch size, image size and optimizer of the papers' recipes.
NETWORKS = {
    "SDBNNResNet20": (128, 32, sgd()),
    "SDBNNResNet18Cifar": (128, 32, sgd()),
    "ReActNetA": (256, 224, adam),
}
SCRIPTS = (
    *program.SCRIPTS,
    Path(__file__).with_name("accelerator_run.py"),
    Path(__file__).with_name("accelerator_torch.py"),
)


def write(name: str, bfloat16: bool, folder: Path) -> dict:
    """Write the step of a network; return its description for the runner, without its weights."""
    batch, size, optimizer = NETWORKS[name]
    model = zoo.get_model(name, weights=None, classifier_activation=None)
    stage = Stage("binary", lambda: model, 1, batch, 1e-3, optimizer, bfloat16=bfloat16)
    step = TrainStep(stage, model, None)
    lowered = lower(step, (size, size, 3))
    label = f"{name}, {'bfloat16' if bfloat16 else 'float32'}"
    file = f"{name}-{'bfloat16' if bfloat16 else 'float32'}.stablehlo"
    (folder / file).write_bytes(lowered.stablehlo)
    values = {key: variable.numpy() for key, variable in step.variables().items()}
    values |= {key: read(handle) for key, handle in lowered.fixed.items()}
    values["learning_rate"] = np.float32(1e-3)
    return {
        "label": label,
        "file": file,
        "batch": batch,
        "image_shape": [size, size, 3],
        "classes": model.output_shape[-1],
        # Store small values, but only the shape of large ones: the runner uses random numbers.
        "inputs": [
            [
                key,
                str(values[key].dtype),
                list(values[key].shape),
                values[key].item() if values[key].ndim == 0 else None,
            ]
            for key in lowered.inputs
        ],
        "outputs": lowered.outputs,
        "results": lowered.results,
    }


def main() -> None:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), metavar="NETWORK")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    steps = [
        write(name, bfloat16, arguments.folder)
        for name in arguments.networks
        for bfloat16 in (False, True)
    ]
    write_json(arguments.folder / "steps.json", steps)
    for script in SCRIPTS:
        shutil.copyfile(script, arguments.folder / script.name)


if __name__ == "__main__":
    main()
