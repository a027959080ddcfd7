"""Fill the tables of README and docs from the data they come from; a test fails when they differ.

Run from the repository root: python -m tools.update_tables
"""

import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tools import c_tables
from tools.c_targets.tables import firmware_rows, matrix_rows
from tools.tables import read_table
from training.commands.benchmark.report import layers_path
from training.commands.evaluate.accuracy_table import ACCURACY, AccuracyRow, read_rows, rows_of
from training.commands.evaluate.export_table import EXPORTS, ExportRow
from zoo import catalog
from zoo.pretrained.records import measured_top1, sets_of

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCUMENTS = (README, *sorted((ROOT / "docs").rglob("*.md")))
TRAINING_STEP = ROOT / "results" / "training_step.csv"
ENGINE_OVERHEAD = ROOT / "results" / "engine_overhead.csv"
RECONSTRUCTION = ROOT / "results" / "xnor_reconstruction.csv"
LATENCY = ROOT / "results" / "latency.csv"
LAYERS = layers_path(LATENCY)
ABLATION = ROOT / "results" / "ablation.csv"
SIGN_FLIPS = ROOT / "results" / "sign_flips.csv"
QUEUE = ROOT / "results" / "async_queue.csv"
# A number, a range behind it, or nothing.
NUMBER = re.compile(r"([-+]?[\d.,]+(e[-+]\d+)?( \(.*\))?)?")
NO_LATENCY = "There are no results yet; run `make benchmark`."
NO_ABLATION = "There are no results yet; run `python -m benchmarks.ablation`."
NO_EXPORTS = "There are no results yet; run `python -m benchmarks.exports`."
NO_ACCURACY = "There are no results yet; run `lqz evaluate RUN --record`."


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: columns of numbers to the right, the others to the left."""
    columns = list(zip(*rows, strict=True)) or [()] * len(heads)
    sides = ["---:" if all(map(NUMBER.fullmatch, column)) else "---" for column in columns]
    lines = [heads, sides, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def table_of(columns: Mapping[str, Callable[[Any], str]], rows: Iterable[Any]) -> str:
    """A Markdown table of what each column, by its head, says of each row."""
    return markdown(list(columns), [[cell(row) for cell in columns.values()] for row in rows])


def optional(value: float | None, form: str) -> str:
    """`value` in that form, empty where there is none."""
    return "" if value is None else format(value, form)


def models(origin: str = "zoo") -> str:
    """The catalog's models of one origin."""
    columns = _catalog_columns()
    heads = (
        "model",
        "paper",
        "data",
        "published %",
        "measured %",
        "params M",
        "MiB",
        "binary MACs M",
        "float MACs M",
        "OPs M",
        "weights",
    )
    shown = [head for head in heads if origin == "zoo" or head != "measured %"]
    return table_of({head: columns[head] for head in shown}, catalog.rows(origin=origin))


def family(arxiv: str) -> str:
    """The models of one paper."""
    columns = _catalog_columns()
    heads = (
        "model",
        "data",
        "published %",
        "top-5 %",
        "measured %",
        "params M",
        "MiB",
        "OPs M",
        "weights",
    )
    rows = [row for row in catalog.rows(origin="zoo") if row.arxiv == arxiv]
    return table_of({head: columns[head] for head in heads}, rows)


def _catalog_columns() -> dict[str, Callable[[catalog.Row], str]]:
    measured = measured_top1()
    return {
        "model": lambda row: row.model,
        "paper": lambda row: f"[{row.family}](https://arxiv.org/abs/{row.arxiv})",
        "data": lambda row: row.dataset,
        "published %": lambda row: optional(row.top1, ".1f"),
        "top-5 %": lambda row: optional(row.top5, ".1f"),
        "measured %": lambda row: optional(measured.get(row.model), ".2f"),
        "params M": lambda row: f"{row.params / 1e6:.2f}",
        "MiB": lambda row: f"{row.memory_bytes / 2**20:.2f}",
        "binary MACs M": lambda row: f"{row.binary_macs / 1e6:,.1f}",
        "float MACs M": lambda row: f"{row.float_macs / 1e6:,.1f}",
        "OPs M": lambda row: f"{row.ops / 1e6:,.1f}",
        "weights": lambda row: ", ".join(sets_of(row.model)),
    }


def reconstruction() -> str:
    """Mean relative L1 error over the layers, by method."""
    errors: dict[str, list[float]] = {}
    for row in read_table(RECONSTRUCTION):
        errors.setdefault(row["method"], []).append(float(row["relative_l1"]))
    names = {"alpha": "XNOR-Net, per filter", "alpha_K": "XNOR-Net, per filter and pixel"}
    rows = [
        (names.get(method, f"learned, {method}"), f"{sum(values) / len(values):.3f}")
        for method, values in errors.items()
    ]
    return markdown(("scale", "relative L1 error"), rows)


RUN_COLUMNS: dict[str, Callable[[AccuracyRow], str]] = {
    "model": lambda row: row.model,
    "params M": lambda row: f"{row.params / 1e6:.2f}",
    "data": lambda row: row.dataset,
    "images": lambda row: f"{row.images:,}",
    "top-1 %": lambda row: f"{row.top1:.2f}",
    "top-5 %": lambda row: f"{row.top5:.2f}",
    "training images %": lambda row: optional(row.train_top1, ".2f"),
    "published": lambda row: optional(row.published_top1, ".1f"),
    "gap": lambda row: optional(row.gap, "+.2f"),
    "epochs": lambda row: stage_epochs(row.epochs),
    "hours": lambda row: optional(row.train_seconds and row.train_seconds / 3600, ".2f"),
    "run": lambda row: f"`{row.weights_sha256[:8]}`",
}


def stage_epochs(epochs: str) -> str:
    """The stages that trained, in words: "teacher=0 binary-crops=26" as "26 binary crops"."""
    stages = [stage.partition("=") for stage in epochs.split()]
    trained = [f"{count} {name.replace('-', ' ')}" for name, _, count in stages if count != "0"]
    return ", ".join(trained)


def accuracy(table: Path = ROOT / ACCURACY) -> str:
    """What `lqz evaluate --record` wrote, or a sentence where it has not written anything."""
    heads = (
        "model",
        "run",
        "data",
        "images",
        "top-1 %",
        "top-5 %",
        "published",
        "gap",
        "epochs",
        "hours",
    )
    rows = read_rows(table)
    if not rows:
        return NO_ACCURACY
    made = []
    for row in rows:
        seed = "" if row.seed is None else f"seed {row.seed}, "
        commit = re.sub(r"^([0-9a-f]{8})[0-9a-f]*", r"\1", row.commit)
        sha256 = row.weights_sha256
        made.append(f"- `{sha256[:8]}`: {seed}commit `{commit}`, sha256 `{sha256}`")
    shown = table_of({head: RUN_COLUMNS[head] for head in heads}, rows)
    return f"{shown}\n\n{folded('Seed, commit and weights of each run', made)}"


EXPORT_COLUMNS: dict[str, Callable[[ExportRow], str]] = {
    "model": lambda row: row.model,
    "weights": lambda row: row.weights.partition(":")[0],
    "format": lambda row: row.format,
    "images": lambda row: f"{row.images:,}",
    "Keras %": lambda row: f"{row.keras_top1:.2f}",
    "export %": lambda row: f"{row.top1:.2f}",
    "other class": lambda row: str(row.changed),
    "largest margin": lambda row: optional(row.margin, ".2f"),
    "largest difference": lambda row: f"{row.difference:.2g} ({row.figures})",
    "KB": lambda row: f"{row.bytes / 1000:,.0f}",
}


def exports(table: Path = ROOT / EXPORTS) -> str:
    """Every export beside Keras, and what ran them."""
    rows = rows_of(table, ExportRow)
    if not rows:
        return NO_EXPORTS
    runtimes = "; ".join(dict.fromkeys(row.runtime for row in rows))
    commits = ", ".join(dict.fromkeys(row.commit[:8] for row in rows))
    return f"{table_of(EXPORT_COLUMNS, rows)}\n\nRun by {runtimes}; commit {commits}."


def cifar10(table: Path = ROOT / ACCURACY) -> str:
    """The runs on CIFAR-10, and below them the command that repeats each."""
    heads = ("model", "run", "top-1 %", "training images %", "published", "gap", "epochs", "hours")
    rows = [row for row in read_rows(table) if row.dataset == "Cifar10"]
    if not rows:
        return NO_ACCURACY
    lines = ["```sh"]
    for row in rows:
        lines.append(f"# {row.model}, {row.weights_sha256[:8]}: {row.top1:.2f} %, seed {row.seed}")
        lines += textwrap.wrap(row.trained_by, 78, subsequent_indent="  ", break_on_hyphens=False)
        wrapped = len(lines) - 1
        while not lines[wrapped].startswith("lqz"):
            wrapped -= 1
            lines[wrapped] += " \\"
    lines.append("```")
    shown = table_of({head: RUN_COLUMNS[head] for head in heads}, rows)
    return f"{shown}\n\n{folded('The command of each run', lines)}"


def folded(title: str, lines: Sequence[str]) -> str:
    """Lines of Markdown behind a title that opens them."""
    return "\n".join(
        ['<details markdown="1">', f"<summary>{title}</summary>", "", *lines, "", "</details>"]
    )


def ablation(table: Path = ABLATION) -> str:
    """What each idea is worth, by idea."""
    heads = ("idea", "variant", "top-1 %", "training images %", "epochs", "seed")
    rows = [
        tuple(row[key] for key in ("idea", "variant", "top1", "train_top1", "epochs", "seed"))
        for row in read_table(table)
    ]
    return markdown(heads, rows) if rows else NO_ABLATION


def sign_flips(table: Path = SIGN_FLIPS) -> str:
    """Which signs each run turned."""
    heads = (
        "model",
        "run",
        "stage",
        "epochs",
        "flipped in stage %",
        "flipped since the start %",
        "held %",
    )
    columns = ("model", "run", "stage", "epochs", "turned", "turned_in_all", "held")
    rows = [{**row, "run": f"`{row['run']}`"} for row in read_table(table)]
    return markdown(heads, [[row[name] for name in columns] for row in rows])


def latency(table: Path = LATENCY) -> str:
    """A row a model: milliseconds in each runtime at batch 1, and how OpenVINO's compares."""
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


def c_latency() -> str:
    """C beside the other runtimes."""
    return f"{markdown(*c_tables.latency_rows())}\n\n{c_tables.about_latency()}"


def c_layers() -> str:
    """Each layer in C, folded away below a sentence on its network."""
    parts = []
    for model in c_tables.layer_models():
        shown = markdown(*c_tables.layer_rows(model)).splitlines()
        parts += [c_tables.about_layers(model), folded(f"Each layer of {model}", ["", *shown])]
    return "\n\n".join(parts) or NO_LATENCY


def headline(table: Path = LATENCY, model: str = "ReActNetA") -> str:
    """One model's times in a sentence."""
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
    """The front page's three figures."""
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
    """Where the time of one model goes, by kind of layer, one thread, batch 1."""
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
    """Images per second of the asynchronous queue, binary and float."""
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


def training_step() -> str:
    """How long a training step takes, beside plain Keras and Larq."""
    heads = (
        "network",
        "batch",
        "plain ms",
        "zoo ms",
        "ratio",
        "gradients",
        "difference, float32",
        "difference, bfloat16",
    )
    return markdown(
        heads,
        [
            (
                row["network"],
                row["batch"],
                row["plain_ms"],
                row["zoo_ms"],
                f"{row['ratio']} ({row['lowest_ratio']} to {row['highest_ratio']})",
                row["gradients"],
                row["gradient_difference_float32"],
                row["gradient_difference_bfloat16"],
            )
            for row in read_table(TRAINING_STEP)
        ],
    )


def engine_overhead() -> str:
    """How much longer a step takes in the engine than on its own."""
    heads = (
        "network",
        "data",
        "batch",
        "steps",
        "bare step ms",
        "loop ms",
        "more wall time %",
        "more CPU time %",
    )
    return markdown(
        heads,
        [
            (
                row["network"],
                row["dataset"],
                row["batch"],
                row["steps"],
                row["bare_ms"],
                row["engine_ms"],
                f"{row['overhead_percent']} ({row['lowest']} to {row['highest']})",
                f"{row['cpu_overhead_percent']} ({row['cpu_lowest']} to {row['cpu_highest']})",
            )
            for row in read_table(ENGINE_OVERHEAD)
        ],
    )


TABLES: dict[str, Callable[[], str]] = {
    "facts": facts,
    "models": models,
    "models_larq_zoo": lambda: models("larq-zoo"),
    "family_reactnet": lambda: family("2003.03488"),
    "family_bireal_net": lambda: family("1808.00278"),
    "family_xnornet_plus_plus": lambda: family("1909.13863"),
    "family_sdbnn": lambda: family("2103.02394"),
    "accuracy": accuracy,
    "cifar10": cifar10,
    "exports": exports,
    "ablation": ablation,
    "sign_flips": sign_flips,
    "reconstruction": reconstruction,
    "training_step": training_step,
    "engine_overhead": engine_overhead,
    "latency": latency,
    "headline": headline,
    "layers": layers,
    "c_latency": c_latency,
    "c_layers": c_layers,
    "queue": queue,
    "c_targets": lambda: markdown(*matrix_rows()),
    "cortex_m": lambda: markdown(*firmware_rows()),
}


def filled(text: str) -> str:
    """`text` with each table between its markers updated."""
    return re.sub(
        r"(<!-- begin (\w+) -->\n).*?(<!-- end \2 -->)",
        lambda m: f"{m[1]}{TABLES[m[2]]()}\n{m[3]}",
        text,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(filled(document.read_text(encoding="utf-8")), encoding="utf-8")
