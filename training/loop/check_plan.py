"""Check a plan before training. A dry run and a run call the same function, so a run

accepts what a dry run accepts, and errors appear before the first step, not after an
hour. Nothing is written here.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import tensorflow as tf

from training.data import InputPipeline
from training.data.order import check_enough
from training.data.service import reachable
from training.loop.data_record import check_classes, compare
from training.loop.decisions import decide
from training.loop.distribution.workers import check_batch_size
from training.loop.initialization import take_features
from training.loop.memory import Memory, check_memory
from training.loop.plan import Plan
from training.loop.run_directory import RunDirectory
from training.loop.stage import Stage
from zoo.errors import InvalidValueError
from zoo.weights.load import find_weights, find_weights_here

T = TypeVar("T")
FEW_STEPS = 10  # remark on epochs with fewer steps
MOST_LEFT_OUT = 0.03  # remark if an epoch leaves out a larger share of the images
MORE_STEPS = 20  # steps per epoch that a suggested smaller batch should give


@dataclass(frozen=True)
class CheckedPlan:
    """A plan that can be trained.

    Attributes:
        stages, models: the plan's stages and their networks. The networks are built to check
            shapes and are not trained.
        images: number of training images.
        at_hand: whether the data set is on this machine. If not, its published size is used, and
            nothing that depends on this machine is checked.
        remarks: warnings about the plan, one sentence each.
    """

    stages: list[Stage]
    models: list[tf.keras.Model]
    images: int
    at_hand: bool
    remarks: list[str] = field(default_factory=list)


def here(make: Callable[[], T]) -> T:
    """Return `make()`: the default of `on_chief`, for a process that trains alone."""
    return make()


def check_plan(
    plan: Plan,
    record: Mapping[str, Any] | None,
    *,
    replicas: int,
    fetch: bool = False,
    on_chief: Callable[[Callable[[], None]], None] = here,
    trains_here: bool = True,
) -> CheckedPlan:
    """Check a plan against its data, its networks and this machine.

    Args:
        plan: the plan to check.
        record: record of the data, see `data_record`; None if the data are not on this machine.
        replicas: number of devices that share a batch.
        fetch: download weights that are not on this machine.
        on_chief: calls a function on the process that keeps the run's directory.
        trains_here: whether this machine will train, and so needs the memory.

    Raises:
        ZooError: the plan cannot be trained; the message says how to fix it.
    """
    dataset, options = plan.dataset, plan.options
    plan.preprocessing.check()
    images = training_images(dataset)
    stages = plan.stages()
    for stage in stages:
        check_enough(images, stage.batch_size)
        check_batch_size(stage.batch_size, replicas)
    if options.data_service:
        reachable(options.data_service)
    if record is not None:
        for size in {stage.batch_size for stage in stages}:
            InputPipeline(
                dataset,
                plan.preprocessing,
                batch_size=size,
                seed=plan.seed,
                cache=options.cache,
                cache_dir=options.cache_dir,
                corrupt_share=plan.corrupt_share,
                data_service=options.data_service,
            )
    find = find_weights if fetch else partial(find_weights_here, required=record is not None)
    absent = plan.check(find)
    if fetch:
        absent = frozenset()  # Keras downloads its own weights when it builds the network
    for stage in stages:
        if stage.weights:
            find(stage.weights, plan.model_name)  # before networks are built, which takes seconds
    teachers = {stage.teacher for stage in stages}
    models = [
        _model(plan, stage, "teacher" if stage.name in teachers else "model", absent, find)
        for stage in stages
    ]
    checked = CheckedPlan(stages, models, images, record is not None, _remarks(stages, images))
    if record is None:
        return checked
    checked.remarks.extend(
        f"The weights of the {each} are not on this machine; the run downloads them."
        for each in sorted(absent)
    )
    memory = [_memory(checked, stage, model) for stage, model in zip(stages, models, strict=True)]
    on_chief(lambda: _check_directory(plan, record, stages[-1], memory))
    if trains_here:
        checked.remarks.extend(check_memory([each for each in memory if each], replicas))
    return checked


def training_images(dataset: Any) -> int:
    """Return the number of training images (the published one if the data are not here)."""
    if is_at_hand(dataset):
        return dataset.num_examples(dataset.train_split)
    return dataset.published_examples[dataset.train_split]


def is_at_hand(dataset: Any) -> bool:
    """Return whether the data set is on this machine, or has no published size."""
    published = getattr(dataset, "published_examples", {})
    return dataset.train_split not in published or dataset.is_prepared


def _model(
    plan: Plan, stage: Stage, part: str, absent: frozenset[str], find: Callable[..., Path | None]
) -> tf.keras.Model:
    """Build the stage's network; check that it fits the images and the number of classes."""
    model = stage.build(**({"weights": None} if part in absent else {}))
    classes = plan.dataset.num_classes
    height, width, channels = plan.preprocessing.input_shape
    image = (stage.crop, stage.crop, channels) if stage.crop else (height, width, channels)
    takes, gives = model.input_shape[1:], model.output_shape[1:]
    if len(takes) != len(image) or any(
        a not in (None, b) for a, b in zip(takes, image, strict=True)
    ):
        raise InvalidValueError(
            f"The {part} takes images of {_size(takes)}, but they are prepared as {_size(image)}: "
            f"set only preprocessing.input_shape, which both use."
        )
    if len(gives) != 1:
        raise InvalidValueError(
            f"The {part} ends with a feature map of {_size(gives)} and has no classifier: give "
            f"{part}.include_top=True."
        )
    if gives[0] != classes:
        raise InvalidValueError(
            f"The {part} has {gives[0]} classes, but the data set has {classes}: give "
            f"{part}.num_classes={classes}, or remove that setting."
        )
    path = find(stage.weights, plan.model_name) if stage.weights else None
    if path:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the stage gives the same warnings when it starts
            take_features(model, plan.factory, path)
    return model


def _size(shape: tuple[int | None, ...]) -> str:
    return "x".join("any" if each is None else str(each) for each in shape)


def _remarks(stages: list[Stage], images: int) -> list[str]:
    found = []
    for stage in stages:
        steps = images // stage.batch_size
        smaller = 2 ** max(images // MORE_STEPS, 1).bit_length() // 2
        if stage.epochs and steps < FEW_STEPS and smaller < stage.batch_size:
            count = f"{steps} steps" if steps > 1 else "one step"
            found.append(
                f"An epoch has {count}, of {stage.batch_size} of the {images} training images: "
                f"batch_size={smaller} gives {images // smaller}."
            )
        rest = images % stage.batch_size
        if stage.epochs and rest > MOST_LEFT_OUT * images:
            found.append(
                f"Each epoch leaves out {rest:,} of the {images:,} images, different ones each "
                f"time, because batch_size={stage.batch_size} does not divide them."
            )
    return list(dict.fromkeys(found))


def _memory(checked: CheckedPlan, stage: Stage, model: tf.keras.Model) -> Memory | None:
    if stage.crop or not stage.epochs:
        return None  # a later stage on whole images needs more; untrained stages need less
    teachers = [
        network
        for each, network in zip(checked.stages, checked.models, strict=True)
        if each.name == stage.teacher
    ]
    return Memory.of(model, stage, teachers)


def _check_directory(
    plan: Plan, record: Mapping[str, Any], last: Stage, memory: list[Memory | None]
) -> None:
    directory = RunDirectory(plan.directory, plan.config, plan.places)
    check_classes(plan.directory, plan.config, record)
    directory.check()
    decide(plan, directory, last.bfloat16, keep=False)
    compare(plan.directory, record, plan.options.accept_other_data)
    directory.require_space(max((each.disk for each in memory if each), default=0))
