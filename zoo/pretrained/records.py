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
SHIPPED_RECORDS = Path(__file__).with_name("shipped") / "records.json"  # written by tools.keep_run
IMAGENET_CLASSES = Path(__file__).with_name("imagenet_classes.csv")

# How to get a set: it is in this package, downloaded automatically or manually, or not available.
Access = Literal["shipped", "downloadable", "manual download", "none published"]
# The format of the file: PyTorch's, Keras's .h5, or this project's .npz, with latent kernels or
# with one bit per binary weight (`zoo.weights.packed`).
Format = Literal["pytorch", "keras", "npz", "packed"]
# Who trained a set: the paper's authors, the packages of these names, this project ("zoo"), or
# someone else, if `lqz convert` imported the file.
Origin = Literal["authors", "larq-zoo", "torchvision", "zoo", "imported"]
NO_LICENCE = "none stated"  # those who trained the set state no licence


@dataclass(frozen=True)
class ImagePreprocessing:
    """How to make the network's input from an image.

    Attributes:
        name: name of the preprocessing; "larq-zoo" is larq-zoo's function (bicubic, from a padded
            crop).
        resize: shorter side in pixels before the centre crop; None if images already have `size`.
        size: height and width of the input.
        mean, std: values per channel, for pixel values in 0..1.
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
        dataset: the data set it was trained on.
        origin: who trained it.
        licence: licence of the weights as an SPDX identifier, or NO_LICENCE.
        access: how to get it.
        format: format of the file at `address`.
        preprocessing, classes: names of its preprocessing and of its classes.
        where: where the file is, in words.
        address: the address for downloads.
        file: the file's name there, if known.
        bytes, sha256: size and sha256 of the file at `address`.
        published_top1, published_top5: published accuracy in percent.
        measured_top1, measured_row: the accuracy measured here, and the first digits of the sha256
            in its row in results/. For a packed set it is the sha256 of the latent weights from
            which the set was made.
        recipe: how it was trained, or how to train it here.
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
        """Return the number of classes of the set."""
        return len(class_names(self.classes))

    @property
    def suffix(self) -> str:
        """Return the suffix of the file in the cache: .h5 for Keras's files, .npz for others."""
        return ".h5" if self.format == "keras" else ".npz"

    def as_dict(self) -> dict[str, Any]:
        """Return the attributes by name, as `lqz list --weights --json` prints them."""
        return asdict(self)


@functools.cache
def _data() -> dict[str, Any]:
    return json.loads(RECORDS.read_text(encoding="utf-8"))


@functools.cache
def all_records() -> tuple[WeightSet, ...]:
    """Return every registered set: first the shipped ones, then the others, in file order."""
    shipped = json.loads(SHIPPED_RECORDS.read_text(encoding="utf-8"))
    return tuple(WeightSet(**record) for record in [*shipped, *_data()["sets"]])


def forget() -> None:
    """Read the files again at the next call."""
    for cached in (_data, all_records, class_names):
        cached.cache_clear()


def published_sets() -> list[WeightSet]:
    """Return the sets that exist, without those that were never published."""
    return [each for each in all_records() if each.access != "none published"]


def shipped_sets() -> list[WeightSet]:
    """Return the sets in the package."""
    return [each for each in all_records() if each.access == "shipped"]


def records_of(model: str) -> list[WeightSet]:
    """Return the existing sets of one model."""
    return [each for each in published_sets() if each.model == model]


def sets_of(model: str) -> tuple[str, ...]:
    """Return a model's sets as tables show them, such as "imagenet (manual download)"."""
    return tuple(f"{each.name} ({each.access})" for each in records_of(model))


def measured_top1() -> dict[str, float]:
    """Return the best accuracy measured here, in percent, for each model that has one."""
    measured = [(each.measured_top1, each.model) for each in all_records() if each.measured_top1]
    return {model: top1 for top1, model in sorted(measured)}


def find_record(model: str, name: str) -> WeightSet | None:
    """Return the record of a set, published or not; None if there is no such set."""
    return next((each for each in all_records() if (each.model, each.name) == (model, name)), None)


def default_record(model: str, *, importable: bool = False) -> WeightSet | None:
    """Return the default set of a model: the set named like its data set, else the first.

    Args:
        model: the model's name in the catalog.
        importable: leave out sets that are part of this package.

    Returns:
        The record; None if no set is registered.
    """
    found = [
        each
        for each in all_records()
        if each.model == model and not (importable and each.access == "shipped")
    ]
    named = [each for each in found if each.name == catalog.row(model).dataset]
    return next(iter([*named, *found]), None)


def imported_record(model: str, name: str) -> WeightSet:
    """Return a record for a set that `lqz convert` wrote and that is not registered."""
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
    """Return whether `weights` is a path. A plain word is a set, even if a file has that name."""
    return isinstance(weights, Path) or bool(Path(weights).suffix) or os.sep in weights


def preprocessing(name: str) -> ImagePreprocessing:
    """Return the preprocessing with this name in the records. Raises UnknownNameError."""
    known = _data()["preprocessing"]
    if name not in known:
        raise UnknownNameError("preprocessing", name, known)
    values = dict(known[name])
    values["mean"], values["std"] = tuple(values["mean"]), tuple(values["std"])
    return ImagePreprocessing(name, **values)


@functools.cache
def class_names(classes: str) -> tuple[tuple[str, str], ...]:
    """Return (identifier, name) of each class in the order of the network's output.

    For ImageNet they come from WordNet: the synset's number and its first word.
    """
    if classes == "imagenet":
        with IMAGENET_CLASSES.open(newline="", encoding="utf-8") as lines:
            return tuple((line["wnid"], line["name"]) for line in csv.DictReader(lines))
    return tuple((name, name) for name in _data()["classes"][classes])
