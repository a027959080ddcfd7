"""The dry run: settings, stages, learning rates and cost of a recipe, as text."""

from __future__ import annotations

from collections.abc import Iterator

from training.loop.check_plan import check_plan, is_at_hand
from training.loop.data_record import began_before, record_of
from training.loop.distribution.workers import devices_of
from training.loop.memory import Memory
from training.loop.plan import Plan
from training.loop.stage import Stage
from zoo.profile import profile

POINTS = 10  # number of learning rates shown per stage


def describe(plan: Plan) -> Iterator[str]:
    """Yield the lines that `lqz train TASK --dry-run` prints for a plan that a run accepts.

    The networks are built and the first image is read. If the data set is not on disk, its
    published size is used, and memory and disk space are not checked.

    Raises:
        ZooError: a run would raise it too; raised before the first line.
    """
    if began_before(plan.directory):
        plan.dataset.find_as_before()
    record = record_of(plan.dataset) if is_at_hand(plan.dataset) else None
    checked = check_plan(plan, record, replicas=devices_of(plan.options.strategy))
    yield f"{plan.recipe}, as configured:"
    settings = {key: value for key, value in plan.config.items() if key != "task"}
    width = max(map(len, settings))
    for key, value in settings.items():
        yield f"  {key:<{width}}  {value}"

    where = "" if checked.at_hand else " (not on disk)"
    yield ""
    yield f"{plan.dataset.title}: {checked.images:,} training images{where}."
    yield from plan.dataset.remarks if checked.at_hand else ()
    yield from checked.remarks
    yield from plan.choices()
    for index, stage in enumerate(checked.stages, start=1):
        yield ""
        yield from _stage(index, stage, checked.images)
    model = checked.models[-1]
    yield ""
    yield f"{model.name}: {profile(model)}"
    memory = Memory.of(model, checked.stages[-1])
    yield (
        f"Memory, estimated: {memory.weights / 2**20:,.0f} MiB for weights, gradients and "
        f"optimizer; {memory.outputs * memory.images / 2**20:,.0f} MiB for the layers' outputs of "
        f"{memory.images} images."
    )


def _stage(index: int, stage: Stage, images: int) -> Iterator[str]:
    if stage.epochs == 0:
        yield f"Stage {index}, {stage.name}: not trained, its weights are unchanged."
        return
    steps = images // stage.batch_size
    yield (
        f"Stage {index}, {stage.name}: {stage.epochs} epochs of {steps:,} steps of "
        f"{stage.batch_size}, {stage.epochs * steps:,} steps."
    )
    if left := images % stage.batch_size:
        yield f"  leaves out         {left} images of each epoch, different ones each time"
    if stage.crop:
        yield f"  trains on          the central {stage.crop}x{stage.crop} pixels of each image"
    learns = f"the outputs of '{stage.teacher}'" if stage.teacher else "the labels"
    if stage.label_smoothing:
        learns += f", smoothed by {stage.label_smoothing:g}"
    yield f"  learns from        {learns}"
    start = "random weights"
    if stage.weights:
        start = f"the weights '{stage.weights}'"
    if stage.initialize_from:
        start = f"the weights of '{stage.initialize_from}'"
        start += "" if stage.carry_over_kernels else ", binary kernels reinitialised"
        start += ", latent kernels set to their signs" if stage.hold_signs else ""
    yield f"  starts from        {start}"
    optimizer = stage.optimizer(stage.learning_rate).get_config()
    shown = ("momentum", "nesterov", "beta_1", "beta_2", "epsilon")
    constants = ", ".join(f"{key} {optimizer[key]}" for key in shown if optimizer.get(key))
    yield f"  optimizer          {optimizer['name']}, {constants}"
    if stage.accumulate > 1:
        yield f"  gradients          summed over {stage.accumulate} parts of each batch"
    if stage.gradient_clip:
        yield f"  gradients          clipped to a norm of {stage.gradient_clip:g} at most"
    if stage.ema:
        yield f"  weights            validated and saved as a moving average, decay {stage.ema:g}"
    if stage.warmup_epochs:
        yield f"  warm-up            {stage.warmup_epochs:g} epochs"
    decay = f"{stage.weight_decay:g}, added to the gradient" if stage.weight_decay else "none"
    yield f"  weight decay       {decay}"
    yield f"  learning rate      {', '.join(f'{rate:.3g}' for rate in _rates(stage, steps))}"
    yield f"    at step          {', '.join(f'{step:,}' for step in _points(stage, steps))}"


def _points(stage: Stage, steps: int) -> list[int]:
    """Return ten steps, evenly spaced from the first to the last."""
    last = stage.epochs * steps - 1
    return [round(last * i / (POINTS - 1)) for i in range(POINTS)]


def _rates(stage: Stage, steps: int) -> list[float]:
    return [stage.rate(step, steps) for step in _points(stage, steps)]
