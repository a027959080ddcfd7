"""The interface between recipe and run: a recipe makes a plan, a run executes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from training.settings.field_types import to_json

if TYPE_CHECKING:
    from training.loop.stage import Stage


STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker")


@dataclass(frozen=True)
class RunOptions:
    """Options of a run that do not affect its result.

    Attributes:
        cache: where encoded images wait between epochs: auto, memory, disk or none.
        cache_dir: where cache=disk keeps them.
        checkpoint_minutes: between checkpoints within an epoch.
        validate_every: epochs from one validation to the next.
        tensorboard: whether to write TensorBoard's event files.
        strategy: auto, one_device, mirrored or multi_worker.
        data_service: address of a tf.data service that decodes and augments.
        rejoin_minutes: that a worker waits for the others.
        accept_other_data: whether to go on although the data are not those of the run's start.
    """

    cache: str
    cache_dir: str | os.PathLike | None
    checkpoint_minutes: float
    validate_every: int
    tensorboard: bool
    strategy: str
    data_service: str | None
    rejoin_minutes: float
    accept_other_data: bool


class Choice(NamedTuple):
    """A setting's value that a recipe chose by looking at its data set, and why, in a few words."""

    value: Any
    why: str


@dataclass(frozen=True)
class Plan:
    """A recipe as a run sees it.

    Attributes:
        recipe: its name.
        config: its settings by key: all that determines the result.
        places: keys of `config` that say where the same data lies, which may move.
        digest: of `config` without `places`, eight hexadecimal digits.
        directory: where the run is kept.
        dataset, preprocessing: what it trains on.
        factory: builds the network that is saved at the end.
        model_name: that network's name in the catalog.
        seed: of everything random.
        deterministic: whether the same settings give the same bits.
        corrupt_share: share of images that may be unreadable.
        options: see `RunOptions`.
        introduction: gives the run's first line; reads the data set.
        stages: gives the stages; asks TensorFlow for its devices and raises InvalidValueError for
            settings that cannot be trained, so it is called once all workers have joined.
        derived: gives the settings that the recipe chose by looking at the data set.
        check: checks the weights that the networks are built with, found by a function such as
            `find_weights`; gives those of "model" and "teacher" whose weights it gave no file for.
    """

    recipe: str
    config: Mapping[str, Any]
    places: tuple[str, ...]
    digest: str
    directory: Path
    dataset: Any
    preprocessing: Any
    factory: Any
    model_name: str
    seed: int
    deterministic: bool
    corrupt_share: float
    options: RunOptions
    introduction: Callable[[], str]
    stages: Callable[[], list[Stage]]
    check: Callable[[Callable[..., Path | None]], frozenset[str]]
    derived: Callable[[], Mapping[str, Choice]] = dict

    @property
    def identity(self) -> dict[str, Any]:
        """`config` without `places`: what two starts of the same run share."""
        return {key: value for key, value in self.config.items() if key not in self.places}

    def choices(self) -> Iterator[str]:
        """A line for each setting that the recipe chose by looking at the data set, and a head."""
        chosen = {
            key: choice
            for key, choice in self.derived().items()
            if key in self.config and self.config[key] == to_json(choice.value)
        }
        if not chosen:
            return
        yield "Chosen for these images; settings override them:"
        shown = {key: str(choice.value).replace(" ", "") for key, choice in chosen.items()}
        width, most = (max(map(len, each)) for each in (shown, shown.values()))
        for key, value in shown.items():
            yield f"  {key:<{width}}  {value:<{most}}  {chosen[key].why}"
