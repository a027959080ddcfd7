"""The processes that train together, read from TF_CONFIG or Slurm."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass

import tensorflow as tf

from zoo.errors import InvalidValueError, printable

EXAMPLE = (
    """TF_CONFIG='{"cluster": {"worker": ["host1:12345", "host2:12345"]}, """
    """"task": {"type": "worker", "index": 0}}'"""
)


@dataclass(frozen=True)
class Cluster:
    """The processes of a run by address, "host:port"; this one is number `index`."""

    addresses: tuple[str, ...]
    index: int

    @property
    def others(self) -> str:
        return ", ".join(a for i, a in enumerate(self.addresses) if i != self.index)


def cluster_from_environment() -> Cluster | None:
    """Read the cluster from TF_CONFIG, else from Slurm's job step; None without either.

    Raises InvalidValueError if TF_CONFIG is malformed.
    """
    text = os.environ.get("TF_CONFIG", "").strip()
    if text and text != "{}":
        return _from_tf_config(text)
    if _slurm_number("STEP_NUM_TASKS", 1) > 1:
        return _from_slurm()
    return None


def _slurm_number(name: str, default: int) -> int:
    """Read a variable of Slurm: an integer of at least 0."""
    text = os.environ.get(f"SLURM_{name}", str(default))
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise InvalidValueError(
            f"SLURM_{name} is '{printable(text)}' but should be a number: start the workers with "
            "srun, or set TF_CONFIG."
        )
    return int(text)


def _from_tf_config(text: str) -> Cluster:
    problem = "it must be JSON such as " + EXAMPLE
    try:
        config = json.loads(text)
        jobs, task = config["cluster"], config["task"]
        kind, index = task["type"], int(task["index"])
        addresses = [*jobs.get("chief", []), *jobs.get("worker", [])]
        if others := sorted({*jobs} - {"chief", "worker"}):
            problem = (
                f"its tasks must be of type chief or worker, not {printable(', '.join(others))}"
            )
            raise ValueError
        bad = [a for a in addresses if not _is_address(a)]
        if bad or len({*addresses}) < len(addresses):
            shown = printable(", ".join(map(str, bad or addresses)))
            problem = f"addresses must be host:port without repetitions, not {shown}"
            raise ValueError
        if kind not in jobs or not 0 <= index < len(jobs[kind]):
            problem = f"task {printable(str(kind))} {index} is not in its cluster"
            raise ValueError
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise InvalidValueError(f"TF_CONFIG is wrong: {problem}.") from None
    first = len(jobs.get("chief", [])) if kind == "worker" else 0
    return Cluster(tuple(addresses), first + index)


def _is_address(text: object) -> bool:
    match = re.fullmatch(r"[^\s:/]+:(\d{1,5})|\[[0-9a-fA-F:.]+\]:(\d{1,5})", str(text))
    return isinstance(text, str) and match is not None and 0 < int(match[1] or match[2]) < 2**16


def _from_slurm() -> Cluster:
    # Below the ephemeral ports, and different for jobs that share a node.
    port = 12000 + _slurm_number("JOB_ID", 0) % 20000
    try:
        # Slurm decides which GPUs a task sees (--gpus-per-task), so we pass 1 for each task.
        tasks = int(os.environ["SLURM_STEP_NUM_TASKS"])
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=port, gpus_per_node=tasks, gpus_per_task=1, auto_set_gpu=False
        )
        addresses = resolver.cluster_spec().job_tasks("worker")
        return Cluster(tuple(addresses), int(resolver.task_id))
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise InvalidValueError(
            f"Slurm's variables do not describe the job step ({error}): start the workers with "
            "srun, or set TF_CONFIG."
        ) from error
