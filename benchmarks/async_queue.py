"""Run a network and its float version in OpenVINO's asynchronous queue at full load.

Each result is compared with the network's output for that image without load. The memory is
measured too: it must not grow. Run from the repository root:

    python -m benchmarks.async_queue [MODEL] [--seconds 60] [--threads 2] [key=value ...]
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import openvino as ov
import psutil

from tools.tables import QUEUE, write_table
from training.commands.arguments import build_model
from training.settings.configuration import parse_arguments
from zoo.deploy import compile_openvino, to_openvino
from zoo.deploy.cpu import cpu_name

DIFFERENT_IMAGES = 16
SETTLING = 0.5  # seconds after the last image
WARM_UP = 0.1  # share of the time until memory is first measured


@dataclass
class Load:
    """The result of a load test.

    Attributes:
        images: number of processed images.
        seconds: duration.
        wrong: number of results that differ, by any bit, from the network's output without load.
        memory_before, memory_after: bytes in use after the warm-up and at the end.
    """

    images: int
    seconds: float
    wrong: int
    memory_before: int
    memory_after: int

    @property
    def images_per_second(self) -> float:
        return self.images / self.seconds

    @property
    def growth(self) -> int:
        return self.memory_after - self.memory_before


def full_load(compiled: ov.CompiledModel, images: list[np.ndarray], seconds: float) -> Load:
    """Keep all requests of a queue busy for some time.

    Args:
        compiled: a model for one image at a time.
        images: (1, height, width, channels) each; used in turns.
        seconds: duration.
    """
    alone = compiled.create_infer_request()
    expected = [alone.infer([image])[0].copy() for image in images]
    wrong = done = 0
    lock = Lock()  # callbacks run in OpenVINO's threads

    def check(request: ov.InferRequest, index: int) -> None:
        nonlocal wrong, done
        right = np.array_equal(request.get_output_tensor(0).data, expected[index])
        with lock:
            done, wrong = done + 1, wrong + (not right)

    queue = ov.AsyncInferQueue(compiled)  # OpenVINO chooses the number of requests
    queue.set_callback(check)
    process, before = psutil.Process(), 0
    start = time.perf_counter()
    index, elapsed = 0, 0.0
    while elapsed < seconds:
        queue.start_async([images[index]], index)  # waits for a free request
        index = (index + 1) % len(images)
        elapsed = time.perf_counter() - start
        if not before and elapsed > WARM_UP * seconds:
            before = process.memory_info().rss
    queue.wait_all()
    elapsed = time.perf_counter() - start
    # OpenVINO's threads may still be in Python code. If the compiled model is deleted now, it waits
    # for them and holds Python's lock, which they need: a deadlock (seen with 2026.4.1).
    time.sleep(SETTLING)
    return Load(done, elapsed, wrong, before, process.memory_info().rss)


def compiled_for_load(model: Any, threads: int, binary: bool = True) -> ov.CompiledModel:
    """Compile for one image at a time and highest throughput; `binary=False` computes in float.

    OpenVINO's converter makes the float network.
    """
    shape = [1, *model.input_shape[1:]]
    converted = to_openvino(model) if binary else ov.convert_model(model, input=shape)
    return compile_openvino(converted, threads, PERFORMANCE_HINT="THROUGHPUT")


def random_images(model: Any) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    shape = (DIFFERENT_IMAGES, 1, *model.input_shape[1:])
    return list(rng.standard_normal(shape).astype(np.float32))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("model", nargs="?", default="ReActNetA")
    parser.add_argument("settings", nargs="*", metavar="key=value")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--csv", type=Path, default=QUEUE)
    arguments = parser.parse_args()
    options = {"weights": None, **parse_arguments(arguments.settings)}
    model = build_model(arguments.model, options)
    rows = []
    for binary in (True, False):
        compiled = compiled_for_load(model, arguments.threads, binary)
        load = full_load(compiled, random_images(model), arguments.seconds)
        del compiled
        kind = "binary" if binary else "float"
        print(
            f"{arguments.model}, {kind}, {arguments.threads} threads: "
            f"{load.images_per_second:.1f} images/s over {load.seconds:.0f} s, {load.wrong} of "
            f"{load.images} results wrong; {load.memory_before / 2**20:.0f} MiB, "
            f"{load.growth / 2**20:+.1f} MiB at the end",
            flush=True,
        )
        figures = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in asdict(load).items()}
        shared = {"model": arguments.model, "convolutions": kind, "threads": arguments.threads}
        about = {"cpu": cpu_name(), "openvino": ov.__version__}
        rows.append(
            shared | {"images_per_second": f"{load.images_per_second:.4g}"} | figures | about
        )
    write_table(arguments.csv, list(rows[0]), rows)


if __name__ == "__main__":
    main()
