"""Tables of latency in each runtime: by model, by layer, and for many images at a time."""

import textwrap
from pathlib import Path

from tools.document_tables.markdown import markdown
from tools.tables import LATENCY, QUEUE, read_table
from training.commands.benchmark.report import layers_path
from zoo import catalog
from zoo.pretrained.records import measured_top1

LAYERS = layers_path(LATENCY)
NO_LATENCY = "There are no results yet; run `make benchmark`."


def latency(table: Path = LATENCY) -> str:
    """Return a row per model: milliseconds in each runtime at batch 1, and OpenVINO's speed-up."""
    if not table.exists():
        return NO_LATENCY
    rows = read_table(table)
    found = {(row["model"], row["runtime"], row["threads"], row["batch"]): row for row in rows}
    heads = (
        "model",
        "OpenVINO ms",
        "2 threads",
        "float ms",
        "float / binary",
        "LCE ms",
        "LCE / binary",
        "Keras ms",
        "Keras / binary",
        "file MB",
        "weights MB",
        "difference",
    )
    lines = []
    for model in dict.fromkeys(row["model"] for row in rows):
        binary = found[model, "openvino", "1", "1"]
        two = found.get((model, "openvino", "2", "1"))
        cells = [model, f"{float(binary['ms']):.2f}", f"{float(two['ms']):.2f}" if two else ""]
        for runtime in ("openvino-float", "lce", "keras"):
            other = found.get((model, runtime, "1", "1"))
            ratio = float(other["ms"]) / float(binary["ms"]) if other else 0
            cells += [f"{float(other['ms']):.1f}", f"{ratio:.1f}"] if other else ["", ""]
        sizes = [f"{int(binary[key]) / 1e6:.2f}" for key in ("file_bytes", "memory_bytes")]
        lines.append([*cells, *sizes, f"{float(binary['relative_l2']):.0e}"])
    first = rows[0]
    command = " \\\n  ".join(textwrap.wrap(first["command"], 72, break_on_hyphens=False))
    about = (
        f"{first['cpu']}, OpenVINO {first['openvino']}, Larq Compute Engine "
        f"{first['larq_compute_engine']}; median at batch 1, random weights, one thread unless "
        f"stated; commit {first['commit'][:8]}:\n\n```sh\n{command}\n```"
    )
    return f"{markdown(heads, lines)}\n\n{about}"


def headline(table: Path = LATENCY, model: str = "ReActNetA") -> str:
    """Return one model's times in a sentence."""
    found = {
        row["runtime"]: row
        for row in read_table(table)
        if (row["model"], row["threads"], row["batch"]) == (model, "1", "1")
    }
    if not found:
        return NO_LATENCY
    ms = {runtime: float(row["ms"]) for runtime, row in found.items()}
    others = {
        "openvino-float": "with float convolutions in OpenVINO",
        "keras": "in Keras",
        "lce": "in Larq Compute Engine, whose binary kernels are for ARM",
    }
    slower = ", ".join(
        f"{ms[key]:.0f} ms ({ms[key] / ms['openvino']:.0f} times as long) {text}"
        for key, text in others.items()
    )
    cpu = found["openvino"]["cpu"]
    return (
        f"{model}, one image of 224x224, one thread of an {cpu}: {ms['openvino']:.1f} ms; {slower}."
    )


def facts(table: Path = LATENCY) -> str:
    """Return the front page's three figures."""
    ms = {
        row["runtime"]: float(row["ms"])
        for row in read_table(table)
        if (row["model"], row["threads"], row["batch"]) == ("ReActNetA", "1", "1")
    }
    cpu = read_table(table)[0]["cpu"]
    small = next(row for row in catalog.rows() if row.model == "ReActNet20")
    right = measured_top1()["ReActNet20"]
    ours, theirs = (len(catalog.rows(origin=origin)) for origin in ("zoo", "larq-zoo"))
    told = (
        (
            f"{ms['openvino-float'] / ms['openvino']:.0f} times as fast",
            f"ReActNetA answers for a photograph in {ms['openvino']:.1f} ms on one thread of an "
            f"{cpu}, with float convolutions in {ms['openvino-float']:.0f} ms.",
        ),
        (
            f"{small.memory_bytes:,} bytes",
            f"are all weights of ReActNet20. It names {right:.2f} % of CIFAR-10's 10,000 test "
            "images correctly.",
        ),
        (
            f"{ours + theirs} networks",
            f"as Keras models: {ours} of four papers and their real-valued twins, {theirs} of "
            "larq-zoo. `lqz list --weights` shows the trained ones.",
        ),
    )
    return "\n\n".join(f"**{figure}** {says}" for figure, says in told)


def layers(table: Path = LAYERS, model: str = "ReActNetA") -> str:
    """Return the time of one model by kind of layer, for one thread and batch 1."""
    if not table.exists():
        return NO_LATENCY
    heads = (f"layers of {model}", "kernel", "ms", "share %")
    return markdown(
        heads,
        [
            (
                row["layer"],
                row["kernel"],
                f"{float(row['ms']):.3f}",
                f"{100 * float(row['share']):.1f}",
            )
            for row in read_table(table)
            if (row["model"], row["threads"], row["batch"]) == (model, "1", "1")
        ],
    )


def queue(table: Path = QUEUE) -> str:
    """Return images per second of the asynchronous queue, binary and float."""
    if not table.exists():
        return NO_LATENCY
    heads = (
        "model",
        "convolutions",
        "threads",
        "images/s",
        "seconds",
        "wrong results",
        "memory MiB",
        "growth MiB",
    )
    return markdown(
        heads,
        [
            (
                row["model"],
                row["convolutions"],
                row["threads"],
                row["images_per_second"],
                row["seconds"],
                row["wrong"],
                f"{int(row['memory_before']) / 2**20:.0f}",
                f"{(int(row['memory_after']) - int(row['memory_before'])) / 2**20:+.1f}",
            )
            for row in read_table(table)
        ],
    )
