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
        cache: where encoded images are kept between epochs: auto, memory, disk or none.
        cache_dir: the folder of cache=disk.
        checkpoint_minutes: time between checkpoints within an epoch.
        validate_every: epochs from one validation to the next.
        tensorboard: whether to write TensorBoard's event files.
        strategy: auto, one_device, mirrored or multi_worker.
        data_service: address of a tf.data service that decodes and augments.
        rejoin_minutes: how long a worker waits for the others.
        accept_other_data: whether to continue if the data differ from those at the run's start.
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
    """A setting's value that a recipe chose from its data set, and the reason in a few words."""

    value: Any
    why: str


@dataclass(frozen=True)
class Plan:
    """Everything that a run needs from its recipe.

    Attributes:
        recipe: the recipe's name.
        config: the recipe's settings by key: everything that determines the result.
        places: keys of `config` that only say where the data are; they may change.
        digest: digest of `config` without `places`, eight hexadecimal digits.
        directory: the run's directory.
        dataset, preprocessing: the training data.
        factory: builds the network that is saved at the end.
        model_name: that network's name in the catalog.
        seed: seed of all random numbers.
        deterministic: whether the same settings give the same bits.
        corrupt_share: share of images that may be unreadable.
        options: see `RunOptions`.
        introduction: returns the run's first line; reads the data set.
        stages: returns the stages. It asks TensorFlow for its devices, so call it after all workers
            have joined. It raises InvalidValueError for settings that cannot be trained.
        derived: returns the settings that the recipe chose from the data set.
        check: checks the weights that the networks are built with; its argument is a function that
            finds them, such as `find_weights`. Returns those of "model" and "teacher" for which
            that function found no file.
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
        """Return `config` without `places`: these settings are equal in all starts of a run."""
        return {key: value for key, value in self.config.items() if key not in self.places}

    def choices(self) -> Iterator[str]:
        """Yield a header, and a line for each setting that the recipe chose from the data set."""
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
