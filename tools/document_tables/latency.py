"""Tables of latency in each runtime: by model, by layer, and for many images at a time."""

import textwrap
from pathlib import Path

from tools.document_tables.markdown import markdown, optional
from tools.tables import LATENCY, QUEUE, latencies, read_table
from training.commands.benchmark.report import layers_path
from zoo import catalog
from zoo.pretrained.records import measured_top1

LAYERS = layers_path(LATENCY)
NO_LATENCY = "There are no results yet; run `make benchmark`."
RUNTIMES = {
    "c": "C",
    "openvino": "OpenVINO",
    "openvino-float": "float",
    "lce": "LCE",
    "keras": "Keras",
}
OTHERS = ("openvino-float", "lce", "keras")


def latency(table: Path = LATENCY) -> str:
    """Compare the runtimes: a table of times, a table of sizes, then the machine and command."""
    rows = read_table(table)
    if not rows:
        return NO_LATENCY
    first = rows[0]
    commits = ", ".join(dict.fromkeys(row["commit"][:8] for row in rows))
    commands = "\n".join(
        " \\\n  ".join(textwrap.wrap(command, 72, break_on_hyphens=False))
        for command in dict.fromkeys(row["command"] for row in rows)
    )
    about = (
        f"{first['cpu']}, OpenVINO {first['openvino']}, Larq Compute Engine "
        f"{first['larq_compute_engine']}; the fastest run at batch 1, random weights, one thread "
        f"unless stated; commit {commits}:\n\n```sh\n{commands}\n```"
    )
    return "\n\n".join([times(table), about, sizes(table)])


def times(table: Path = LATENCY) -> str:
    """Return a row per model: milliseconds in each runtime, and how many times as long as in C."""
    one, two = latencies(table), latencies(table, threads=2)
    heads = ["model", "C ms", "2 threads", "OpenVINO ms", "2 threads"]
    heads += [f"{RUNTIMES[runtime]} ms" for runtime in OTHERS]
    heads += [f"{name} / C" for name in RUNTIMES.values() if name != "C"]
    lines = []
    for model in dict.fromkeys(model for model, _ in one):
        cells = [model]
        for runtime in ("c", "openvino"):
            cells += [optional(ms.get((model, runtime)), ".2f") for ms in (one, two)]
        cells += [optional(one.get((model, runtime)), ".2f") for runtime in OTHERS]
        for runtime in ("openvino", *OTHERS):
            both = one.get((model, "c")), one.get((model, runtime))
            cells.append(f"{both[1] / both[0]:.2f}" if both[0] and both[1] else "")
        lines.append(cells)
    return markdown(heads, lines)


def sizes(table: Path = LATENCY) -> str:
    """Return a row per model: memory that each runtime adds to its process, and sizes of files."""
    found = {
        (row["model"], row["runtime"]): row
        for row in read_table(table)
        if (row["threads"], row["batch"]) == ("1", "1")
    }

    def cell(model: str, runtime: str, key: str) -> str:
        row = found.get((model, runtime))
        return f"{int(row[key]) / 1e6:.{1 if key == 'added_memory' else 2}f}" if row else ""

    heads = ["model", *(f"{name} MB" for name in RUNTIMES.values())]
    heads += ["C file MB", "OpenVINO file MB", "weights MB", "difference"]
    lines = []
    for model in dict.fromkeys(model for model, _ in found):
        own = next(row for (name, _), row in found.items() if name == model)
        lines.append(
            [
                model,
                *(cell(model, runtime, "added_memory") for runtime in RUNTIMES),
                *(cell(model, runtime, "file_bytes") for runtime in ("c", "openvino")),
                f"{int(own['memory_bytes']) / 1e6:.2f}",
                f"{float(own['relative_l2']):.0e}",
            ]
        )
    return markdown(heads, lines)


def headline(table: Path = LATENCY, model: str = "ReActNetA") -> str:
    """Return one model's times in a sentence."""
    ms = {runtime: value for (name, runtime), value in latencies(table).items() if name == model}
    if "c" not in ms:
        return NO_LATENCY
    others = {
        "openvino": "in OpenVINO, with the same binary convolutions",
        "openvino-float": "in OpenVINO with float convolutions",
        "keras": "in Keras",
        "lce": "in Larq Compute Engine, whose binary kernels are for ARM",
    }
    slower = ", ".join(
        f"{ms[key]:.{0 if ms[key] > 20 else 1}f} ms ({_times(ms[key] / ms['c'])} as long) {text}"
        for key, text in others.items()
    )
    cpu = read_table(table)[0]["cpu"]
    return (
        f"{model}, one image of 224x224, one thread of an {cpu}: {ms['c']:.1f} ms as exported C; "
        f"{slower}."
    )


def _times(ratio: float) -> str:
    return f"{ratio:.0f} times" if ratio > 9.5 else f"{ratio:.1f} times"


def facts(table: Path = LATENCY) -> str:
    """Return the front page's three figures."""
    ms = latencies(table)
    binary, real = ms["ReActNetA", "c"], ms["ReActNetA", "openvino-float"]
    cpu = read_table(table)[0]["cpu"]
    small = next(row for row in catalog.rows() if row.model == "SDBNNResNet20")
    right = measured_top1()[small.model]
    ours, theirs = (len(catalog.rows(origin=origin)) for origin in ("zoo", "larq-zoo"))
    told = (
        (
            f"{real / binary:.0f} times as fast",
            f"ReActNetA, exported as C, answers for a photograph in {binary:.1f} ms on one thread "
            f"of an {cpu}. With float convolutions OpenVINO takes {real:.0f} ms.",
        ),
        (
            f"{small.memory_bytes:,} bytes",
            f"are all weights of {small.model}. It names {right:.2f} % of CIFAR-10's 10,000 test "
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
