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

# A model of the catalog, a run, a file of a whole network, a file of weights.
Kind = Literal["catalog", "run", "model", "weights"]


@dataclass(frozen=True)
class Network:
    """A network that a command was given: all that is known of it before it is built.

    Attributes:
        given: what the user wrote.
        kind: what it is.
        name: in the catalog where it has one, else Keras's or the file's.
        path: of the run or the file; None for the catalog.
        file: of its weights; None where they are random.
        weights: what to call them: the set and the file; "" where they are random.
        record: of the set, where it is a registered one.
        card: its class names and preprocessing.
        arguments: with which it is built, where the catalog builds it.
        build: gives the Keras model; with True, without the activation of its classifier.
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
        """The Keras model; with `logits`, without a softmax at its end where the user did not ask
        for one."""
        return self.build(logits)

    @property
    def sha256(self) -> str:
        """Of the file of its weights; "" where they are random."""
        from zoo.files import sha256

        return sha256(self.file) if self.file else ""


def completed(card: NetworkCard | None, row: catalog.Row | None) -> NetworkCard:
    """A card, and what it lacks as the catalog's model has it on its own data set."""
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
    """The row of a model of ours, which Keras knows in lower case; None for another's."""
    rows = {row.model.casefold(): row for row in catalog.rows(origin="zoo")}
    return rows.get(keras_name.casefold())
