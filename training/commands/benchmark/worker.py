"""A process with one runtime and one model; it executes requests, which are lines of JSON.

Each runtime has a separate process, so that its peak memory and thread settings are separate. Only
one process computes at a time. `training.commands.benchmark.session` starts it.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Images = np.ndarray  # (batch, height, width, channels), float32
Run = Callable[[Images], np.ndarray]


def peak_memory() -> int:
    """Return the peak memory of this process in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux, where getrusage also counts the parent process
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def openvino_runtime(path: str, threads: int) -> Callable[[], Run]:
    import openvino  # noqa: F401  (imported before loading is timed)

    from zoo.deploy.runners import openvino_runner

    return lambda: openvino_runner(Path(path), threads, PERFORMANCE_HINT="LATENCY").compute


def lce_runtime(path: str, threads: int) -> Callable[[], Run]:
    import larq_compute_engine.tflite.python.interpreter  # noqa: F401

    from zoo.deploy.runners import lce_runner

    return lambda: lce_runner(Path(path).read_bytes(), threads).compute


def c_runtime(path: str, threads: int) -> Callable[[], Run]:
    from zoo.deploy.c.load import FLAGS, CNetwork, compile_c, read_manifest

    library, source = Path(path), Path(path).parent / "c"
    if threads > 1:
        library = library.with_name("threads.so")
        if not library.exists():
            compile_c(source, library, (*FLAGS, "-fopenmp"))
    return lambda: CNetwork(read_manifest(source), library)


def keras_runtime(path: str, threads: int) -> Callable[[], Run]:
    import tensorflow as tf

    import zoo
    from zoo.deploy.runners import keras_runner

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)

    return lambda: keras_runner(zoo.load_model(path, compile=False)).compute


RUNTIMES = {
    "openvino": openvino_runtime,
    "lce": lce_runtime,
    "c": c_runtime,
    "keras": keras_runtime,
}


def layer_times(path: str, threads: int, images: Images, runs: int = 30) -> list[dict[str, Any]]:
    """Return median milliseconds per kind of layer, from OpenVINO's performance counters."""
    from zoo.deploy import compile_openvino

    compiled = compile_openvino(path, threads, PERFORMANCE_HINT="LATENCY", PERF_COUNT=True)
    request = compiled.create_infer_request()
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for run in range(runs + 3):
        request.infer([images], share_inputs=True)
        sums: dict[tuple[str, str], float] = defaultdict(float)
        for layer in request.profiling_info:
            milliseconds = layer.real_time.total_seconds() * 1e3
            if milliseconds:
                sums[layer.node_type, layer.exec_type] += milliseconds
        if run >= 3:
            for key, value in sums.items():
                times[key].append(value)
    medians = {key: statistics.median(values) for key, values in times.items()}
    total = sum(medians.values())
    return [
        {"layer": layer, "kernel": kernel, "ms": ms, "share": ms / total}
        for (layer, kernel), ms in sorted(medians.items(), key=lambda item: -item[1])
    ]


def serve(
    kind: str, path: str, threads: int, images: Images, answer: Callable[[Any], None]
) -> None:
    """Load the model, then execute the request in each line of standard input."""
    prepare = RUNTIMES[kind](path, threads)
    before, start = peak_memory(), time.perf_counter()
    run = prepare()
    outputs = run(images)
    loading = time.perf_counter() - start
    answer({"load_s": loading, "outputs": np.asarray(outputs, np.float64).tolist()})
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "time":
            run(images)  # not measured: the CPU caches still hold another runtime's data
            seconds = []
            for _ in range(request["runs"]):
                start = time.perf_counter()
                run(images)
                seconds.append(time.perf_counter() - start)
            answer({"seconds": seconds})
        elif request["do"] == "memory":
            answer({"peak": peak_memory(), "added": peak_memory() - before})
        else:
            answer({"layers": layer_times(path, threads, images)})


def main() -> None:
    kind, path, threads, images = sys.argv[1:]
    # Runtimes may write to standard output, so answers go to a copy of the original one.
    with os.fdopen(os.dup(1), "w") as pipe:
        os.dup2(2, 1)

        def answer(message: Any) -> None:
            pipe.write(json.dumps(message) + "\n")
            pipe.flush()

        serve(kind, path, int(threads), np.load(images), answer)


if __name__ == "__main__":
    main()
