"""Store an evaluated run: its learning curves, and on request its weights.

The curves go to `results/learning_curves.csv`. With `--ship SET` the weights go into the package,
packed with one bit per binary weight, so that MODEL(weights=SET) loads them. Their record names the
row of `results/accuracy.csv`. An existing set gets the next version. The network's predictions for
the embedded test images go to `results/predictions.csv`.

Run from the repository root: python -m tools.keep_run RUN [--ship cifar10]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import zoo
from tools.tables import read_table, write_table
from training.commands.evaluate.accuracy_table import ACCURACY, AccuracyRow, read_rows
from training.commands.saved_network import read_run
from training.data import CIFAR10_SAMPLE
from training.data.conventions import COMPONENTS
from zoo.errors import RunError, ZooError
from zoo.files import sha256, write_atomically, write_json
from zoo.pretrained import cache
from zoo.pretrained.records import SHIPPED_RECORDS, WeightSet, forget
from zoo.weights.files import write_packed
from zoo.weights.load import load_weights

CURVES = Path(__file__).parents[1] / "results" / "learning_curves.csv"
COLUMNS = (
    "run",
    "model",
    "stage",
    "epoch",
    "learning_rate",
    "loss",
    "top1",
    "validation_loss",
    "validation_top1",
    "seconds",
)
PREDICTIONS = CURVES.with_name("predictions.csv")
PREDICTED = ("model", "set", "image", "class", "score")
LICENCE = "Apache-2.0"  # licence of weights trained here, and of the package
MOST_BYTES = 3_000_000  # maximum size of a file in the package


def row_of(run: Path) -> AccuracyRow:
    """Return the row that `lqz evaluate --record` wrote for a run's last weights."""
    _, stages = read_run(run)
    digest = stages[-1][1].sha256 if stages else ""
    for row in read_rows(ACCURACY):
        if row.weights_sha256 == digest:
            return row
    raise RunError(f"{ACCURACY} has no row of {run}; first run lqz evaluate {run} --record")


def keep_curves(run: Path, row: AccuracyRow) -> None:
    """Write the `log.csv` of every stage to the table; replace the run's old rows."""
    name = row.weights_sha256[:8]
    lines = [line for line in read_table(CURVES) if line["run"] != name]
    for folder, stage in read_run(run)[1]:
        if stage.epochs:
            own = {"run": name, "model": row.model, "stage": stage.name}
            lines += [{**epoch, **own} for epoch in read_table(folder / "log.csv")]
    write_table(CURVES, COLUMNS, ({key: _short(line[key]) for key in COLUMNS} for line in lines))


def predictions(model: str, name: str) -> list[dict[str, Any]]:
    """Return a set's predictions for each embedded test image, computed in float64.

    In float32, a sum near zero could have another sign on another machine.
    """
    import numpy as np
    import tensorflow as tf

    files = sorted(CIFAR10_SAMPLE.glob("*/*.png"))
    before = tf.keras.backend.floatx()
    tf.keras.backend.set_floatx("float64")
    try:
        images = np.stack([zoo.preprocess_input(file, name, model=model) for file in files])
        scores = zoo.get_model(model, weights=name)(images.astype("float64"), training=False)
    finally:
        tf.keras.backend.set_floatx(before)
    best = zoo.decode_predictions(scores, top=1, weights=name, model=model)
    return [
        {
            "model": model,
            "set": name,
            "image": f"{file.parent.name}/{file.name}",
            "class": found,
            "score": f"{score:.6f}",
        }
        for file, ((_, found, score),) in zip(files, best, strict=True)
    ]


def keep_predictions(model: str, name: str) -> None:
    """Write `predictions` to the table; replace the set's old rows."""
    lines = [x for x in read_table(PREDICTIONS) if (x["model"], x["set"]) != (model, name)]
    write_table(PREDICTIONS, PREDICTED, [*lines, *predictions(model, name)])


def ship(run: Path, row: AccuracyRow, name: str) -> Path:
    """Put the weights of a run into the package, with their record.

    The weights of a binary network are packed; the file of a real-valued network is copied.

    Raises:
        ZooError: they are too large, or do not fit the model that the zoo builds.
    """
    folder, stage = read_run(run)[1][-1]
    datasets = {component: name for name, component in COMPONENTS.items()}
    if row.dataset not in datasets:
        raise RunError(
            f"Weights for {row.dataset} are not shipped, only for {', '.join(datasets)}."
        )
    dataset = datasets[row.dataset]
    # Check before anything is written that all weights fit, including the classifier.
    model = zoo.get_model(row.model, weights=None)
    load_weights(model, folder / stage.weights, name=row.model)
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / stage.weights
        packed = write_packed(model, file)
        if not packed:
            file = folder / stage.weights
        content, digest = file.read_bytes(), sha256(file)
    if len(content) > MOST_BYTES:
        raise RunError(f"{file.name} has {len(content):,} bytes; {MOST_BYTES:,} may be shipped.")
    records = json.loads(SHIPPED_RECORDS.read_text(encoding="utf-8"))
    before = [each for each in records if (each["model"], each["name"]) == (row.model, name)]
    version = before[0]["version"] + (before[0]["sha256"] != digest) if before else 1
    record = WeightSet(
        model=row.model,
        name=name,
        dataset=dataset,
        origin="zoo",
        licence=LICENCE,
        access="shipped",
        format="packed" if packed else "npz",
        preprocessing=dataset,
        classes=dataset,
        where="this package",
        bytes=len(content),
        sha256=digest,
        published_top1=row.published_top1,
        measured_top1=row.top1,
        measured_row=row.weights_sha256[:8],
        recipe=row.trained_by,
        version=version,
    )
    target = cache.SHIPPED / row.model / f"{name}.v{version}.npz"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, lambda file: file.write(content))
    for old in target.parent.glob(f"{name}.v*.npz"):
        if old != target:
            old.unlink()
    others = [each for each in records if each not in before]
    write_json(SHIPPED_RECORDS, [*others, asdict(record)])
    forget()
    return target


def _short(value: str) -> str:
    try:
        number = float(value)
    except ValueError:
        return value
    return value if value.isdigit() else f"{number:.6g}"


def main() -> None:
    """Store the run of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--ship", metavar="SET", help="put the weights into the package as SET")
    options = parser.parse_args()
    try:
        row = row_of(options.run)
        keep_curves(options.run, row)
        print(f"{row.model}, {row.top1:.2f} %: curves in {CURVES.name}")
        if options.ship:
            print(f"Shipped: {ship(options.run, row, options.ship)}")
            keep_predictions(row.model, options.ship)
    except ZooError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
