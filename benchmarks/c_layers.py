"""Measure the time of each layer of a network in C, and its share of the popcount limit.

The limit is the rate at which the processor computes exclusive or, popcount and sum if it does
nothing else. The fastest of all runs counts, for each layer and for the limit, because other
programs can only slow them down. Needs a processor with AVX-512 and VPOPCNTDQ.

Run from the repository root: python -m benchmarks.c_layers [MODEL ...] [--runs 200]
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import zoo
from tools.tables import read_table, write_table
from training.commands.evaluate.accuracy_table import PACKAGE, commit
from zoo.deploy import to_c
from zoo.deploy.c.load import FLAGS, find_compiler
from zoo.deploy.cpu import cpu_name, instruction_sets

RESULTS = Path(__file__).parents[1] / "results" / "c_layers.csv"
SOURCE = Path(__file__).parent / "sources" / "c_layers.c"
MODELS = ("ReActNetA", "ReActNet20")
PIECE = 20  # runs per process
COLUMNS = (
    "model",
    "layer",
    "output",
    "binary",
    "macs",
    "us",
    "share",
    "limit",
    "runs",
    "cpu",
    "commit",
)


def build(model: str, folder: Path) -> Path:
    """Build the program that times a network with random weights; return its path."""
    network = zoo.get_model(model, weights=None, classifier_activation=None)
    to_c(network, folder / "c", name="network")
    program = folder / "layers"
    command = [*find_compiler(), *FLAGS, "-D_GNU_SOURCE", f"-I{folder / 'c'}"]
    objects = []
    for source, flags in (
        (folder / "c" / "bnn.c", ()),
        (folder / "c" / "network.c", ("-DBNN_WATCH=watch",)),
        (SOURCE, ("-march=native",)),
    ):
        objects.append(folder / f"{source.stem}.o")
        subprocess.run([*command, *flags, "-c", source, "-o", objects[-1]], check=True)
    subprocess.run([*command, *objects, "-o", program, "-lm"], check=True)
    return program


def names_of(source: Path) -> list[str]:
    """Return the names of the layers, in order, from the comments in a network's source."""
    text = source.read_text(encoding="utf-8")
    return re.findall(r"^/\* (.+) \*/\nstatic const bnn_step", text, re.MULTILINE)


def measure(model: str, runs: int) -> Iterator[dict[str, object]]:
    """Yield a row for each layer."""
    with tempfile.TemporaryDirectory() as folder:
        program = build(model, Path(folder))
        names = names_of(Path(folder) / "c" / "network.c")
        said = ""
        for _ in range(runs // PIECE):
            said += subprocess.check_output([program, str(PIECE)], text=True)
    lines = [line.split() for line in said.splitlines()]
    limit = max(float(line[0]) for line in lines if len(line) == 1)
    timed = [line for line in lines if len(line) > 1]
    for index, name in enumerate(names):
        same = timed[index :: len(names)]
        nanoseconds = min(float(line[0]) for line in same)
        _, binary, macs, output = same[0]
        yield {
            "model": model,
            "layer": name,
            "output": output,
            "binary": binary,
            "macs": macs,
            "us": f"{nanoseconds / 1e3:.1f}",
            "share": f"{float(macs) / nanoseconds / limit:.3f}" if binary == "1" else "",
            "limit": f"{limit:.0f}",
            "runs": len(same),
            "cpu": cpu_name(),
            "commit": commit(PACKAGE),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--runs", type=int, default=200)
    options = parser.parse_args()
    if "avx512_vpopcntdq" not in (instruction_sets() or ()):
        raise SystemExit("This needs a processor with AVX-512 and VPOPCNTDQ.")
    for model in options.models:
        rows = list(measure(model, options.runs))
        others = [row for row in read_table(RESULTS) if row["model"] != model]
        write_table(RESULTS, COLUMNS, [*others, *rows])
        for row in rows:
            print(*row.values(), sep=", ")


if __name__ == "__main__":
    main()
