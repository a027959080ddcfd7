"""What a recipe would do: its settings, stages, learning rates and cost, as text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from training.data.pipeline import check_enough, left_out
from training.loop.plan import Plan
from training.loop.stage import Stage
from training.loop.step import latent_variables
from zoo.profile import profile

POINTS = 10  # of the learning rate's course


def describe(plan: Plan) -> Iterator[str]:
    """The lines that `lqz train TASK --dry-run` prints.

    The network is built, no data is read; a data set that is not on disk is described by its
    published size.
    """
    yield f"{plan.recipe}, as configured:"
    settings = {key: value for key, value in plan.config.items() if key != "task"}
    width = max(map(len, settings))
    for key, value in settings.items():
        yield f"  {key:<{width}}  {value}"

    images, where = training_images(plan.dataset)
    yield ""
    yield f"{plan.dataset.title}: {images:,} training images{where}."
    yield from plan.dataset.remarks if not where else ()
    yield from plan.choices()
    stages = plan.stages()
    for stage in stages:
        check_enough(images, stage.batch_size)
    for index, stage in enumerate(stages, start=1):
        yield ""
        yield from _stage(index, stage, images)
    last = stages[-1]
    model = last.build()
    yield ""
    yield f"{model.name}: {profile(model)}"
    yield _memory(model, last)


def training_images(dataset: Any) -> tuple[int, str]:
    """Number of training images, and a note where the data set is not at hand; fetches nothing."""
    published = getattr(dataset, "published_examples", {})
    if dataset.train_split in published and not dataset.is_prepared:
        return published[dataset.train_split], " (not on disk)"
    return dataset.num_examples(dataset.train_split), ""


def _stage(index: int, stage: Stage, images: int) -> Iterator[str]:
    if stage.epochs == 0:
        yield f"Stage {index}, {stage.name}: not trained, its weights are taken as they are."
        return
    steps = images // stage.batch_size
    yield (
        f"Stage {index}, {stage.name}: {stage.epochs} epochs of {steps:,} steps of "
        f"{stage.batch_size}, {stage.epochs * steps:,} steps."
    )
    if note := left_out(images, stage.batch_size):
        yield f"  {note}"
    if stage.crop:
        yield f"  trains on          the middle {stage.crop}x{stage.crop} pixels of each image"
    learns = f"the outputs of '{stage.teacher}'" if stage.teacher else "the labels"
    if stage.label_smoothing:
        learns += f", smoothed by {stage.label_smoothing:g}"
    yield f"  learns from        {learns}"
    start = "random weights"
    if stage.weights:
        start = f"the weights '{stage.weights}'"
    if stage.initialize_from:
        start = f"the weights of '{stage.initialize_from}'"
        start += "" if stage.carry_over_kernels else ", binary kernels afresh"
        start += ", binary kernels at their signs" if stage.hold_signs else ""
    yield f"  starts from        {start}"
    optimizer = stage.optimizer(stage.learning_rate).get_config()
    shown = ("momentum", "nesterov", "beta_1", "beta_2", "epsilon")
    constants = ", ".join(f"{key} {optimizer[key]}" for key in shown if optimizer.get(key))
    yield f"  optimizer          {optimizer['name']}, {constants}"
    if stage.accumulate > 1:
        yield f"  gradients          of {stage.accumulate} parts of each batch, added up"
    if stage.gradient_clip:
        yield f"  gradients          scaled to a norm of {stage.gradient_clip:g} at most"
    if stage.ema:
        yield f"  weights            validated and saved as a moving average, decay {stage.ema:g}"
    if stage.warmup_epochs:
        yield f"  warm-up            {stage.warmup_epochs:g} epochs"
    decay = f"{stage.weight_decay:g}, added to the gradient" if stage.weight_decay else "none"
    yield f"  weight decay       {decay}"
    yield f"  learning rate      {', '.join(f'{rate:.3g}' for rate in _rates(stage, steps))}"
    yield f"    at step          {', '.join(f'{step:,}' for step in _points(stage, steps))}"


def _points(stage: Stage, steps: int) -> list[int]:
    """Ten steps, evenly from the first to the last."""
    last = stage.epochs * steps - 1
    return [round(last * i / (POINTS - 1)) for i in range(POINTS)]


def _rates(stage: Stage, steps: int) -> list[float]:
    return [stage.rate(step, steps) for step in _points(stage, steps)]


def _memory(model: tf.keras.Model, stage: Stage) -> str:
    """Weights, gradients and optimizer; and what the backward pass keeps of a batch."""
    trained = sum(math.prod(v.shape) for v in latent_variables(list(stage.trains(model))))
    slots = 2 if "Adam" in type(stage.optimizer(1.0)).__name__ else 1
    weights = 4 * (
        model.count_params() + (1 + slots) * trained + (model.count_params() if stage.ema else 0)
    )
    outputs = {id(each): each for layer in model.layers for each in _outputs(layer)}.values()
    images = stage.batch_size // stage.accumulate
    activations = 4 * images * sum(math.prod(each.shape[1:]) for each in outputs)
    return (
        f"Memory, estimated: {weights / 2**20:,.0f} MiB for weights, gradients and optimizer; "
        f"{activations / 2**20:,.0f} MiB for the layers' outputs of {images} images."
    )


def _outputs(layer: tf.keras.layers.Layer) -> list[Any]:
    return layer.output if isinstance(layer.output, list) else [layer.output]
