"""Export every shipped network in every format, and compare each file with Keras.

It uses all test images of CIFAR-10, writes `results/exports.csv` and takes five minutes on two
cores.

Run from the repository root: python -m benchmarks.exports [MODEL/SET ...] dataset.data_dir=DIR
"""

import sys
import tempfile
from pathlib import Path

from training import cli
from training.commands.evaluate.accuracy import one_pass
from training.commands.evaluate.accuracy_table import write_row
from training.commands.evaluate.comparison import Comparison
from training.commands.evaluate.export_table import EXPORTS
from training.commands.evaluate.exported import make_row, require_same_ends
from training.commands.evaluate.trained_network import load
from training.commands.export import FORMATS, SUFFIXES
from training.settings.configuration import parse_assignments
from zoo.deploy.runners import keras_runner, load_export
from zoo.pretrained.records import shipped_sets


def compare(name: str, settings: list[str], folder: Path) -> None:
    """Export a set, "MODEL/SET", in every format, and record each comparison with Keras."""
    paths = {kind: folder / f"{kind}{SUFFIXES.get(kind, '')}" for kind in FORMATS}
    for kind, path in paths.items():
        if cli.main(["export", name, "--format", kind, "-o", str(path)]):
            raise SystemExit(f"{name} could not be exported to {kind}.")
    network, evaluation = load(name, parse_assignments(settings))
    keras = keras_runner(network.model)
    runners = {kind: load_export(path, trusted=True) for kind, path in paths.items()}
    for runner in runners.values():
        require_same_ends(runner, keras, name)
    how = evaluation.preprocessing
    found, _ = one_pass(
        evaluation, network.model.name, Comparison(keras, runners, how.mean, how.std).run
    )
    command = "python -m benchmarks.exports"  # without the folder of the data
    for kind, runner in runners.items():
        row = make_row(found, kind, runner, network, evaluation, paths[kind], command)
        write_row(EXPORTS, row)
        print(f"{name} {kind}: {row.changed} of {row.images} changed, {row.difference:.1e}")


def main() -> None:
    settings = [word for word in sys.argv[1:] if "=" in word]
    shipped = [f"{each.model}/{each.name}" for each in shipped_sets()]
    for name in [word for word in sys.argv[1:] if "=" not in word] or shipped:
        with tempfile.TemporaryDirectory() as folder:
            compare(name, settings, Path(folder))


if __name__ == "__main__":
    main()
