"""Settings that do not affect a run's result: two starts of a run may differ in them.

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

import os
from dataclasses import fields
from typing import Annotated, Optional, Union

from training.data.conventions import CACHES
from training.loop.plan import STRATEGIES, RunOptions
from zoo.adapters.zookeeper import Field
from zoo.limits import at_least, one_of


class RunSettings:
    """Folders, caches, logging and the machines that compute."""

    # Directory of the run; by default runs/TASK-DATASET-DIGEST, with the recipe's digest.
    output_dir: Optional[Union[str, os.PathLike]] = Field(None)

    # Keep encoded images in memory, on disk, or read them again in each
    # epoch. A run keeps its first choice.
    cache: Annotated[str, one_of(CACHES)] = Field("auto")

    # Folder for cache=disk.
    cache_dir: Optional[Union[str, os.PathLike]] = Field(None)

    # Minutes between checkpoints within an epoch; each epoch ends with one.
    checkpoint_minutes: Annotated[float, at_least(0)] = Field(5.0)

    # Epochs from one validation to the next; the last epoch is always validated.
    validate_every: Annotated[int, at_least(1)] = Field(1)

    # Write TensorBoard's event files.
    tensorboard: bool = Field(True)

    # Devices: mirrored uses the GPUs of one machine, multi_worker the machines in TF_CONFIG or
    # Slurm.
    strategy: Annotated[str, one_of(STRATEGIES)] = Field("auto")

    # Minutes that a worker waits for the others, at the start and after a loss.
    rejoin_minutes: Annotated[float, at_least(0)] = Field(10.0)

    # Continue a run although its data have changed.
    accept_other_data: bool = Field(False)

    # Address (grpc://host:port) of a tf.data service that decodes and augments.
    data_service: Optional[str] = Field(None)

    @property
    def options(self) -> RunOptions:
        """Return these settings in the form that a run needs."""
        return RunOptions(**{each.name: getattr(self, each.name) for each in fields(RunOptions)})


OPERATIONAL = tuple(RunSettings.__annotations__)
