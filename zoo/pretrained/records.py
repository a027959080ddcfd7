"""The facts about each weight set, read from `records.json` and `shipped/records.json`."""

from __future__ import annotations

import csv
import functools
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from zoo import catalog
from zoo.errors import UnknownNameError

RECORDS = Path(__file__).with_name("records.json")
SHIPPED_RECORDS = Path(__file__).with_name("shipped") / "records.json"  # tools.keep_run's
IMAGENET_CLASSES = Path(__file__).with_name("imagenet_classes.csv")

# How to get a set: from this package, by automatic or manual download, or not at all.
Access = Literal["shipped", "downloadable", "manual download", "none published"]
# The format of the file: PyTorch's, Keras's .h5, this project's .npz with latent kernels, or with
# one bit per binary weight (`zoo.weights.packed`).
Format = Literal["pytorch", "keras", "npz", "packed"]
# Who trained a set: the paper's authors, the packages of these names, this project ("zoo"), or
# someone whose file `lqz convert` imported.
Origin = Literal["authors", "larq-zoo", "torchvision", "zoo", "imported"]
NO_LICENCE = "none stated"  # by those who trained a set


@dataclass(frozen=True)
class ImagePreprocessing:
    """How an image becomes the network's input.

    Attributes:
        name: "larq-zoo" stands for larq-zoo's own function (bicubic, from a padded crop).
        resize: shorter side in pixels before the centre crop; None: the image has the size.
        size: height and width of the input.
        mean, std: per channel, for pixel values in 0..1.
    """

    name: str
    resize: int | None
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class WeightSet:
    """One set of weights; unknown values are None.

    Attributes:
        model, name: `MODEL(weights=name)` loads it.
        version: the file of a version never changes; a better file gets the next number.
        dataset: what it was trained on.
        origin: who trained it.
        licence: of the weights, as SPDX writes it, or NO_LICENCE.
        access: how to get it.
        format: of the file at `address`.
        preprocessing, classes: its preprocessing and its classes.
        where: where the file is, in words.
        address: the address for downloads.
        file: its name there, where that is known.
        bytes, sha256: of the file at `address`.
        published_top1, published_top5: in percent.
        measured_top1, measured_row: the figure measured here, and the first digits of the sha256
            in its row in results/; of a packed set, that of the latent weights it was made from.
        recipe: how it was trained, or is trained here.
        note: further remarks.
    """

    model: str
    name: str
    dataset: str
    origin: Origin
    licence: str
    access: Access
    format: Format
    preprocessing: str
    classes: str
    where: str | None = None
    address: str | None = None
    file: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    published_top1: float | None = None
    published_top5: float | None = None
    measured_top1: float | None = None
    measured_row: str | None = None
    recipe: str | None = None
    note: str | None = None
    version: int = 1

    @property
    def num_classes(self) -> int:
        """The number of classes of the set."""
        return len(class_names(self.classes))

    @property
    def suffix(self) -> str:
        """Of the file in the cache: Keras's files are kept as they are, others as .npz."""
        return ".h5" if self.format == "keras" else ".npz"

    def as_dict(self) -> dict[str, Any]:
        """The attributes by name, as `lqz list --weights --json` prints them."""
        return asdict(self)


@functools.cache
def _data() -> dict[str, Any]:
    return json.loads(RECORDS.read_text(encoding="utf-8"))


@functools.cache
def all_records() -> tuple[WeightSet, ...]:
    """Every registered set: those that are shipped, then the others, in the order of the files."""
    shipped = json.loads(SHIPPED_RECORDS.read_text(encoding="utf-8"))
    return tuple(WeightSet(**record) for record in [*shipped, *_data()["sets"]])


def forget() -> None:
    """Read the files again at the next call."""
    for cached in (_data, all_records, class_names):
        cached.cache_clear()


def published_sets() -> list[WeightSet]:
    """The sets that exist; those that were never published are left out."""
    return [each for each in all_records() if each.access != "none published"]


def records_of(model: str) -> list[WeightSet]:
    """The sets of one model that exist."""
    return [each for each in published_sets() if each.model == model]


def sets_of(model: str) -> tuple[str, ...]:
    """The sets of one model as tables show them: name and access, "imagenet (manual download)"."""
    return tuple(f"{each.name} ({each.access})" for each in records_of(model))


def measured_top1() -> dict[str, float]:
    """The best accuracy measured here, in percent, of each model that has one."""
    measured = [(each.measured_top1, each.model) for each in all_records() if each.measured_top1]
    return {model: top1 for top1, model in sorted(measured)}


def find_record(model: str, name: str) -> WeightSet | None:
    """The record of a set, published or not; None if there is no such set."""
    return next((each for each in all_records() if (each.model, each.name) == (model, name)), None)


def default_record(model: str, *, importable: bool = False) -> WeightSet | None:
    """The set meant where only the model is named: called as its data set, else the first.

    Args:
        model: the model's name in the catalog.
        importable: leave out sets that are part of this package.

    Returns:
        None where no set is registered.
    """
    found = [
        each
        for each in all_records()
        if each.model == model and not (importable and each.access == "shipped")
    ]
    named = [each for each in found if each.name == catalog.row(model).dataset]
    return next(iter([*named, *found]), None)


def imported_record(model: str, name: str) -> WeightSet:
    """A record for a set that `lqz convert` wrote and nothing registered describes."""
    dataset = catalog.row(model).dataset
    return WeightSet(
        model=model,
        name=name,
        dataset=dataset,
        origin="imported",
        licence=NO_LICENCE,
        access="manual download",
        format="npz",
        preprocessing=dataset,
        classes=dataset,
    )


def names_a_file(weights: str | Path) -> bool:
    """Whether `weights` is a path; a plain word is always a set, even if a file has that name."""
    return isinstance(weights, Path) or bool(Path(weights).suffix) or os.sep in weights


def preprocessing(name: str) -> ImagePreprocessing:
    """The preprocessing that records name so. Raises UnknownNameError for another name."""
    known = _data()["preprocessing"]
    if name not in known:
        raise UnknownNameError("preprocessing", name, known)
    values = dict(known[name])
    values["mean"], values["std"] = tuple(values["mean"]), tuple(values["std"])
    return ImagePreprocessing(name, **values)


@functools.cache
def class_names(classes: str) -> tuple[tuple[str, str], ...]:
    """(identifier, name) of each class in the order of the output.

    ImageNet's are WordNet's: the synset's number and its first word.
    """
    if classes == "imagenet":
        with IMAGENET_CLASSES.open(newline="", encoding="utf-8") as lines:
            return tuple((line["wnid"], line["name"]) for line in csv.DictReader(lines))
    return tuple((name, name) for name in _data()["classes"][classes])
