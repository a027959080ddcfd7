"""`lqz benchmark`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from training.commands import completion
from training.commands.arguments import read_options
from training.commands.benchmark.course import Course
from training.commands.benchmark.prepare import MEANING, RUNTIMES, prepare
from training.commands.export import EXTRAS
from training.commands.network import Network, find, resolve
from training.terminal import OPEN
from zoo import catalog
from zoo.errors import DeployError, InvalidValueError, UnknownNameError
from zoo.extras import require
from zoo.files import require_writable

if TYPE_CHECKING:
    import numpy as np

SEED = 0
FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("benchmark", context_settings=OPEN)
@click.argument("models", nargs=-1, type=click.UNPROCESSED, shell_complete=completion.models)
@click.option("--all", "everything", is_flag=True, help="All models of this project.")
@click.option(
    "--runtimes",
    default="c,openvino,openvino-float,lce,keras",
    show_default=True,
    help=f"Of {', '.join(RUNTIMES)}.",
)
@click.option("--threads", default="1", show_default=True, help="Such as 1,2.")
@click.option("--batch", default="1", show_default=True, help="Such as 1,8.")
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=15,
    show_default=True,
    help="Measurements of 0.1 s per runtime.",
)
@click.option(
    "--per-layer", is_flag=True, help="Show the time per kind of layer, from OpenVINO's counters."
)
@click.option("--json", "json_path", type=FILE, help="Write everything as JSON.")
@click.option(
    "--csv", "csv_path", type=FILE, help="Write one row per measurement, including --per-layer."
)
@click.option("--plot", "plot_path", type=FILE, help="Draw latency against published top-1.")
def benchmark(
    models: Sequence[str],
    everything: bool,
    runtimes: str,
    threads: str,
    batch: str,
    rounds: int,
    per_layer: bool,
    json_path: Path | None,
    csv_path: Path | None,
    plot_path: Path | None,
) -> None:
    """Measure the latency of MODELS in several runtimes, alternating between them.

    MODELS are names of `lqz list`, run directories, or .keras, .h5 or .npz files; key=value
    arguments apply to all of them. Weights do not affect the time: weights=none measures
    models of the list with random weights if trained weights are not on this machine.
    """
    from training.commands.benchmark import picture, report

    names = [text for text in models if "=" not in text and not text.startswith("--")]
    settings = [text for text in models if text not in names]
    if everything:
        names = list(dict.fromkeys([*names, *(row.model for row in catalog.rows(origin="zoo"))]))
    if not names:
        raise InvalidValueError("Name a model, or give --all for all models of this project.")
    for name in names:
        find(name)
    options = read_options(settings)
    kinds = _chosen(runtimes)
    for worker in {RUNTIMES[kind] for kind in kinds} & set(EXTRAS):
        require(worker, f"Measuring {worker}")
    if "c" in kinds:
        _require_compiler()
    counts, batches = _numbers("--threads", threads), _numbers("--batch", batch)
    layers_path = report.layers_path(csv_path) if csv_path and per_layer else None
    for path in (json_path, csv_path, layers_path, plot_path):
        if path:
            require_writable(path)  # before the wait, not after it
    networks = [resolve(name, options) for name in names]  # fetched before the wait
    machine = report.machine()
    click.echo(report.describe(machine))
    rows: list[dict[str, Any]] = []
    with Course(len(networks), counts, batches) as course:
        for network in networks:
            found: list[dict[str, Any]] = []
            try:
                for each in measure(network, kinds, counts, batches, rounds, per_layer, course):
                    found += each
            finally:  # also after Ctrl-C or an error: keep what is finished
                if found:
                    course.hide()
                    report.print_rows(found, per_layer)
                    rows += found
                    if json_path:
                        report.write_json(json_path, machine, rows)
                    if csv_path:
                        report.write_csv(csv_path, machine, rows)
                    if layers_path:
                        report.write_layers_csv(layers_path, rows)
    if plot_path and not picture.draw(plot_path, machine["cpu"], rows):
        click.echo("No picture: none of these networks has a published accuracy.", err=True)


def measure(
    network: Network,
    kinds: Sequence[str],
    threads: Sequence[int],
    batches: Sequence[int],
    rounds: int,
    per_layer: bool,
    course: Course,
) -> Iterator[list[dict[str, Any]]]:
    """Measure one model: yield the rows of all runtimes for each batch size and number of threads.

    `course` shows the progress.
    """
    import numpy as np

    import zoo
    from training.commands.export import file_size

    course.begin(network.given, "building")
    model = network.model(logits=True)
    mix_signs(model)
    counts = zoo.profile(model)
    with tempfile.TemporaryDirectory() as folder:
        for batch in batches:
            images = np.random.default_rng(SEED).normal(size=(batch, *model.input_shape[1:]))
            images = images.astype(np.float32)
            expected = model(images, training=False).numpy()
            image_file = Path(folder) / f"images-{batch}.npy"
            np.save(image_file, images)
            files = {}
            for kind in kinds:
                each = kind if RUNTIMES[kind] != "openvino" else f"{kind}-{batch}"
                course.say(f"converting for {kind}, batch {batch}")
                files[kind] = prepare(kind, model, batch, Path(folder) / each)
            for count in threads:
                rows = []
                what = f"batch {batch}, threads {count}"
                for kind, row in _compared(
                    files, count, image_file, expected, rounds, per_layer, course, what
                ):
                    shared = {
                        "model": network.given,
                        "runtime": kind,
                        "threads": count,
                        "batch": batch,
                    }
                    file = files[kind]
                    size = file_size(file.parent if RUNTIMES[kind] == "openvino" else file)
                    rows.append(
                        {
                            **shared,
                            **row,
                            "file_bytes": size,
                            "memory_bytes": counts.memory_bytes,
                            "binary_macs": counts.binary_macs,
                            "float_macs": counts.float_macs,
                        }
                    )
                course.done()
                yield rows


def mix_signs(model: Any) -> None:
    """Give random signs to kernels that have only +1; most kernels start so.

    A file stores equal kernels only once, so the file of an untrained network would be too small.
    """
    import numpy as np

    random = np.random.default_rng(SEED)
    for layer in model.layers:
        if getattr(layer, "kernel_quantizer", None) is not None:
            kernel = layer.kernel.numpy()
            if (kernel >= 0).all():
                layer.kernel.assign(kernel * random.choice([-1, 1], kernel.shape))


def _compared(
    files: dict[str, Path],
    threads: int,
    images: Path,
    expected: np.ndarray,
    rounds: int,
    per_layer: bool,
    course: Course,
    what: str,
) -> list[tuple[str, dict[str, Any]]]:
    """Measure the runtimes in turns; `what` names the batch size and the threads for messages."""
    from training.commands.benchmark.session import Worker, measure_in_turns, spread

    with ExitStack() as stack:
        workers = {}
        for kind, path in files.items():
            course.say(f"loading {kind}, {what}")
            worker = Worker(RUNTIMES[kind], path, threads, images)
            workers[kind] = stack.enter_context(worker)

        def tell(index: int, turn: int) -> None:
            course.say(f"{list(workers)[index]}, {what}, round {turn + 1} of {rounds}")

        measure_in_turns(list(workers.values()), rounds, tell)
        rows = []
        for kind, worker in workers.items():
            row = spread(worker.seconds) | {"runs": len(worker.seconds), "load_s": worker.load_s}
            memory = worker.ask(do="memory")
            row |= {"peak_memory": memory["peak"], "added_memory": memory["added"]}
            row |= agreement(worker.outputs, expected)
            if per_layer and kind == "openvino":
                row["layers"] = worker.ask(do="layers")["layers"]
            rows.append((kind, row))
    return rows


def agreement(outputs: Any, expected: np.ndarray) -> dict[str, float]:
    """Compare a runtime's outputs with Keras's.

    Rounding can flip the sign of a value near zero, and the difference grows from layer to layer.
    With random weights, a few percent are not an error. The tests compare each convolution.
    """
    import numpy as np

    outputs = np.asarray(outputs).reshape(expected.shape)
    norms = np.linalg.norm(outputs - expected, axis=-1) / np.linalg.norm(expected, axis=-1)
    same = outputs.argmax(-1) == expected.argmax(-1)
    return {"relative_l2": float(np.median(norms)), "same_top1": float(same.mean())}


def _chosen(runtimes: str) -> list[str]:
    kinds = [kind.strip() for kind in runtimes.split(",") if kind.strip()]
    for kind in kinds:
        if kind not in RUNTIMES:
            raise UnknownNameError("runtime", kind, RUNTIMES)
    if not kinds:
        raise InvalidValueError(f"--runtimes is empty; choose from {', '.join(MEANING)}.")
    return list(dict.fromkeys(kinds))


def _require_compiler() -> None:
    from zoo.deploy.c.load import find_compiler

    try:
        find_compiler()
    except DeployError as error:
        raise DeployError(f"{str(error).rstrip('.')}, or leave c out of --runtimes.") from error


def _numbers(option: str, text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise InvalidValueError(
            f"{option} must be whole numbers from 1, such as 1,2, not '{text}'."
        )
    return list(dict.fromkeys(map(int, parts)))
