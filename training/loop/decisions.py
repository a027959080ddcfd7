"""Decisions of the machine that starts a run. If the run continues elsewhere, they stay."""

from __future__ import annotations

from typing import Any

from training.data.storage import choose_cache
from training.loop.plan import Plan
from training.loop.run_directory import RunDirectory
from zoo.errors import RunError


def decide(plan: Plan, run: RunDirectory, bfloat16: bool, *, keep: bool = True) -> dict[str, Any]:
    """Return `cache`, `bfloat16` and `photographs` of a run.

    Machines differ in memory and CPU, but a run's images, their order and its precision must stay.

    Args:
        plan: the plan of the run.
        run: the run's directory.
        bfloat16: whether this machine would compute in bfloat16.
        keep: write the decisions if the run is new.

    Raises:
        RunError: the run began with values that contradict the settings.
    """
    options = plan.options
    asked = cache = options.cache
    if cache == "auto":
        cache = choose_cache("auto", plan.dataset, None)
    # A data service runs no Python code, so it cannot use Pillow.
    cuts = "tensorflow" if options.data_service else "pillow"
    decided = run.decide(
        {"cache": cache, "bfloat16": bfloat16, "photographs": cuts},
        formerly={"photographs": "tensorflow"},
        keep=keep,
    )
    if asked not in ("auto", decided["cache"]):
        raise RunError(
            f"The run in {run.path} began with cache={decided['cache']}, and cache={cache} has "
            "a different order of images: remove cache= or choose another output_dir=..."
        )
    by_pillow = decided["photographs"] == "pillow" and plan.preprocessing.random_crops()
    if options.data_service and by_pillow:
        raise RunError(
            f"The run in {run.path} began without a data service, which rounds the pixels of "
            "photographs differently: remove data_service= or choose another "
            "output_dir=..."
        )
    return decided
