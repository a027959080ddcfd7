"""`results/*.csv`: measured accuracies, each with all facts that a repetition needs."""

from __future__ import annotations

import csv
import datetime
import subprocess
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, TypeVar

from filelock import FileLock

from zoo.errors import ResultsError
from zoo.files import require_writable, write_csv

ACCURACY = Path("results") / "accuracy.csv"
PACKAGE = Path(__file__).parents[2]


@dataclass(frozen=True)
class AccuracyRow:
    """One network's measured accuracy: a line of `accuracy.csv`.

    Attributes:
        model: the network's name in the catalog, if it has one.
        params: number of parameters; it distinguishes narrower variants.
        dataset: the component; for ImageFolder with the folder's name ("ImageFolder:photos").
        split: the part of the data set that was evaluated.
        images: number of evaluated images.
        top1, top5: accuracy in percent.
        published_top1: the catalog's figure in percent, if it is for the same data set.
        gap: top1 - published_top1, in points.
        weights_sha256: hash of the weights' file; for a set without a file, of its values.
        weights: the name of that file or of the set.
        recipe: the configuration that made the network, as JSON: the resolved recipe of a run,
            or else the arguments of the model's function.
        evaluation: data set and preprocessing of the evaluation, as JSON.
        epochs: epochs of each stage ("teacher=6 binary=10"); empty for weights from elsewhere.
        train_top1: accuracy of the last stage on its training images, in percent.
        train_seconds: training time of all stages.
        trained_by: the shortest command for this training; empty for weights from elsewhere.
        devices: which epochs of each stage ran on which devices; empty for weights from elsewhere
            and for older runs, which did not record it.
        seed: seed of the training.
        commit: commit of the evaluating code, with "+dirty" if it has uncommitted changes;
            "unknown" outside a checkout.
        command: the command that the user typed.
        date: date of the evaluation, UTC.
        tensorflow, larq: versions.
    """

    model: str
    params: int
    dataset: str
    split: str
    images: int
    top1: float
    top5: float
    published_top1: float | None
    gap: float | None
    weights_sha256: str
    weights: str
    recipe: str
    evaluation: str
    epochs: str
    train_top1: float | None
    train_seconds: float | None
    trained_by: str
    devices: str
    seed: int | None
    commit: str
    command: str
    date: str
    tensorflow: str
    larq: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Return what was measured: a new row replaces an older row with the same key."""
        return self.model, self.weights_sha256, self.dataset, self.split


class Row(Protocol):
    """A line of a table: a dataclass of numbers and texts."""

    @property
    def key(self) -> tuple[str, ...]:
        """Return what was measured: a new row replaces an older row with the same key."""


AnyRow = TypeVar("AnyRow", bound=Row)


def read_rows(path: Path) -> list[AccuracyRow]:
    """Return the rows of a table of accuracies; an empty list if there is no such file.

    Raises:
        ResultsError: the file cannot be read or is not such a table.
    """
    return rows_of(path, AccuracyRow)


def rows_of(path: Path, kind: type[AnyRow]) -> list[AnyRow]:
    """Return the rows of a table of this kind; an empty list if there is no such file.

    Raises:
        ResultsError: the file cannot be read or is not such a table.
    """
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            reader = csv.DictReader(lines, strict=True)
            return [_parsed(line, path, reader.line_num, kind) for line in reader]
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise ResultsError(f"The results in {path} cannot be read: {reason}.") from error


def write_row(path: Path, row: Row) -> None:
    """Put `row` into the table: replace the row with the same key, or append.

    The whole file is replaced at once, so a reader never sees a partial file. Processes that write
    at the same time wait for each other.
    """
    require_writable(path, ResultsError)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        before = rows_of(path, type(row))
        places = [index for index, other in enumerate(before) if other.key == row.key]
        rows = [other for other in before if other.key != row.key]
        rows.insert(places[0] if places else len(rows), row)
        write_csv(path, _names(type(row)), map(_values, rows))


def origin() -> dict[str, str]:
    """Return the columns commit, date, tensorflow and larq of a row."""
    return {
        "commit": commit(PACKAGE),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "tensorflow": version("tensorflow"),
        "larq": version("larq"),
    }


def commit(package: Path) -> str:
    """Return the commit of the checkout that contains `package`.

    It has 40 hexadecimal digits, and "+dirty" if the package or the `zoo` beside it has changes or
    new files. It is "unknown" if the package is not under git.
    """

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(package), *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    try:
        # A package that is installed inside another checkout does not belong to that checkout.
        git("ls-files", "--error-unmatch", "__init__.py")
        changes = git("status", "--porcelain", "--", ".", "../zoo")
        return git("rev-parse", "HEAD") + ("+dirty" if changes else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _parsed(line: dict[str, str], path: Path, number: int, kind: type[AnyRow]) -> AnyRow:
    if kind is AccuracyRow:
        line = {"devices": "", **line}  # older tables do not have this column

    def value(name: str, form: str) -> object:
        if form.endswith("| None") and not line[name]:
            return None
        return {"int": int, "float": float, "str": str}[form.split()[0]](line[name])

    try:
        if set(line) != set(_names(kind)) or None in line.values():
            raise ValueError("its columns have changed")
        # In this file annotations are texts, so `value` compares texts.
        return kind(**{name: value(name, form) for name, form in _names(kind).items()})
    except ValueError as error:
        raise ResultsError(
            f"Line {number} of {path} is no row of {kind.__name__.removesuffix('Row').lower()} "
            f"figures ({error}): repair or remove it."
        ) from error


def _names(kind: Any) -> dict[str, str]:
    """Return the columns of a table, each with its type as text."""
    return {field.name: str(field.type) for field in fields(kind)}


def _values(row: Any) -> dict[str, Any]:
    return asdict(row)
