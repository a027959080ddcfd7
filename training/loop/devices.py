"""The device of this process, and the devices of a stage's epochs."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def device_name() -> str:
    """Return this process's device and library: "CPU, TensorFlow 2.19.1"."""
    gpus = tf.config.list_physical_devices("GPU")
    details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
    kind = details.get("device_name", "GPU" if gpus else "CPU")
    return f"{kind}, TensorFlow {tf.__version__}"


def devices(history: list[dict[str, Any]]) -> str:
    """Return which epochs ran where: "1-400 on NVIDIA H100, JAX 0.11.0; 401-500 on CPU, ..."."""
    parts: list[tuple[str, int, int]] = []
    for row in history:
        device, epoch = row.get("device", ""), row["epoch"]
        if parts and parts[-1][0] == device:
            parts[-1] = (device, parts[-1][1], epoch)
        else:
            parts.append((device, epoch, epoch))
    return "; ".join(f"{first}-{last} on {device}" for device, first, last in parts if device)
