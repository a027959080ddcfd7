"""Decisions of the machine that starts a run; they stay if the run continues on another machine."""

from __future__ import annotations

from typing import Any

from training.data.storage import choose_cache
from training.loop.plan import Plan
from training.loop.run_directory import RunDirectory
from zoo.errors import RunError


def decide(plan: Plan, run: RunDirectory, bfloat16: bool, *, keep: bool = True) -> dict[str, Any]:
    """`cache`, `bfloat16` and `photographs` of a run.

    Machines differ in memory and CPU; the images, their order and the precision must not.

    Args:
        plan: what is run.
        run: its directory.
        bfloat16: whether this machine would compute in it.
        keep: write the decisions of a new run.

    Raises:
        RunError: the run began with others than the settings ask for.
    """
    options = plan.options
    asked = cache = options.cache
    if cache == "auto":
        cache = choose_cache("auto", plan.dataset, None)
    # A data service has no Python, and so no Pillow.
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
