"""A run's record of its data (class names, counts, a digest per class), and differences from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.data.encoded import WHOLE
from training.loop.run_directory import CONFIG, fitting, read_config, read_json
from zoo.errors import RunError
from zoo.files import write_json

DATA = "data.json"
SHAPE = {"classes": [str], "training": {}, "validation": {}}
PART = {"images": int, "digest": str}
MOST_SHOWN = 10
BEFORE, BY_CLASS = "by name", "by class"  # how images without a validation folder are held out


def record_of(dataset: Any) -> dict[str, Any]:
    """Return the record of a data set: class names by label, and the contents of each split."""
    return {
        "classes": list(dataset.class_names),
        "held_out": BEFORE if dataset.as_before else BY_CLASS,
        "training": dataset.content(dataset.train_split),
        "validation": dataset.content(dataset.validation_split),
    }


def digest_of(record: Mapping[str, Any]) -> str:
    """Return a short digest of a record; workers compare it."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]


def read_record(run: Path) -> dict[str, Any] | None:
    """Return a run's record; None if the run is new, or older than records."""
    path = run / DATA
    if not path.is_file():
        return None
    remedy = f"remove it to accept the current data, or remove {run} to start again"
    record = read_json(path, remedy, SHAPE)
    try:
        for split in ("training", "validation"):
            fitting(list(record[split].values()), [PART])
    except ValueError:
        raise RunError(f"{path} is damaged; {remedy}.") from None
    return record


def began_before(run: Path) -> bool:
    """Return whether a run finds its images in the way used before records existed."""
    record = read_record(run)
    return (run / CONFIG).is_file() if record is None else record.get("held_out") == BEFORE


def check_classes(run: Path, config: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise RunError if data in the same place now have another number of classes.

    Call this before the recipes are compared: they then differ too, but that message would not
    name the class.
    """
    before = read_record(run)
    if before is None or len(before["classes"]) == len(now["classes"]):
        return
    recipe = read_config(run)
    if all(recipe.get(key) == config.get(key) for key in ("dataset", "dataset.data_dir")):
        found = class_differences(before["classes"], now["classes"])
        refuse(f"The run in {run}", before, now, found, accept=False)


def compare(run: Path, now: Mapping[str, Any], accept: bool) -> bool:
    """Compare the data with the run's record. Returns whether to store `now` as the new record.

    Raises:
        RunError: the data differ and `accept` is False, or have another number of classes.
    """
    before = read_record(run)
    found = [] if before is None else differences(before, now)
    if before is not None and found:
        refuse(f"The run in {run}", before, now, found, accept)
    return before is None or bool(found)


def check_record(run: Path, now: Mapping[str, Any], accept: bool) -> None:
    """Call `compare`, and write the record if it is missing or changed."""
    if compare(run, now, accept):
        write_json(run / DATA, now)


def refuse(
    whose: str, before: Mapping[str, Any], now: Mapping[str, Any], found: list[str], accept: bool
) -> None:
    """Raise RunError for these differences, unless `accept` and the number of classes is equal."""
    shown = "; ".join(found[:MOST_SHOWN])
    shown += f"; and {len(found) - MOST_SHOWN} more" if len(found) > MOST_SHOWN else ""
    if len(before["classes"]) != len(now["classes"]):
        raise RunError(
            f"{whose} has {len(before['classes'])} classes, these data {len(now['classes'])} "
            f"({shown}): give the data that it started with."
        )
    if not accept:
        raise RunError(
            f"{whose} started with different data ({shown}): give that data, or "
            "accept_other_data=True."
        )


def differences(
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    splits: tuple[str, ...] = ("training", "validation"),
) -> list[str]:
    """List how data differ from a record, one text per difference; classes come first."""
    found = class_differences(before["classes"], now["classes"])
    for split in splits:
        there, here = before[split], now[split]
        for part in dict.fromkeys([*there, *here]):
            what = split if part == WHOLE else f"{split}, '{part}'"
            if part not in here or part not in there:
                if part == WHOLE:  # a missing class is already in `found`
                    found.append(f"{split}: another kind of data set")
            elif here[part]["images"] != there[part]["images"]:
                numbers = f"{there[part]['images']:,} images there, {here[part]['images']:,} here"
                found.append(f"{what}: {numbers}")
            elif here[part]["digest"] != there[part]["digest"]:
                found.append(f"{what}: other files")
    return found


def class_differences(before: list[str], now: list[str]) -> list[str]:
    """List how class names differ, by label."""
    gone = [name for name in before if name not in now]
    new = [name for name in now if name not in before]
    found = [f"class '{name}' is missing" for name in gone] + [f"class '{n}' is new" for n in new]
    return found or ([] if list(before) == list(now) else ["the classes are in a different order"])
