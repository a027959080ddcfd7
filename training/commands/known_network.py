"""The facts about a command's network before it is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from training.data.conventions import COMPONENTS
from zoo import catalog
from zoo.card import NetworkCard, card_of_record
from zoo.pretrained.records import WeightSet, default_record, imported_record

# A model of the catalog, a run directory, a file of a whole network, a file of weights.
Kind = Literal["catalog", "run", "model", "weights"]


@dataclass(frozen=True)
class Network:
    """The network that the user named: everything known about it before it is built.

    Attributes:
        given: the user's text.
        kind: what the text names.
        name: the network's name in the catalog; if it has none, Keras's name or the file's.
        path: the run or the file; None for the catalog.
        file: the file of its weights; None if they are random.
        weights: a label for messages: the set and the file; "" if the weights are random.
        record: the registered set of the weights, if there is one.
        card: its class names and preprocessing.
        arguments: the arguments of the model's function, if it is built by one.
        build: returns the Keras model; `build(True)` leaves out the classifier's activation.
    """

    given: str
    kind: Kind
    name: str
    path: Path | None
    file: Path | None
    weights: str
    record: WeightSet | None
    card: NetworkCard
    arguments: Mapping[str, Any] = field(default_factory=dict)
    build: Callable[[bool], Any] = field(repr=False, default=lambda logits: None)

    def model(self, *, logits: bool = False) -> Any:
        """Build the Keras model; with `logits`, without a final softmax unless the user set it."""
        return self.build(logits)

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of the file of its weights; "" if they are random."""
        from zoo.files import sha256

        return sha256(self.file) if self.file else ""


def completed(card: NetworkCard | None, row: catalog.Row | None) -> NetworkCard:
    """Return `card`, with missing entries taken from the catalog model's default weight set."""
    if row is None:
        return card or NetworkCard()
    of_row = card_of_record(default_record(row.model) or imported_record(row.model, row.dataset))
    if card is None:
        return of_row
    same = card.dataset in (None, of_row.dataset, COMPONENTS.get(of_row.dataset or ""))
    return NetworkCard(
        card.classes or (of_row.classes if same else None),
        card.preprocessing or of_row.preprocessing,
        card.dataset,
        card.arguments,
    )


def catalog_row(keras_name: str) -> catalog.Row | None:
    """Return our model's catalog row for its Keras name, in any case; None for other models."""
    rows = {row.model.casefold(): row for row in catalog.rows(origin="zoo")}
    return rows.get(keras_name.casefold())
