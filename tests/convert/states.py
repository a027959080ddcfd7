"""Weights in the form of the authors' checkpoints, with random numbers."""

from collections import OrderedDict

import numpy as np
import pytest
import torch

from zoo.weights import torch_state

MODEL = "ReActNet20"
OLD, ZIP = {"_use_new_zipfile_serialization": False}, {}
FORMATS = pytest.mark.parametrize("format", [OLD, ZIP], ids=["before 1.6", "zip"])


def random_state(model, seed=0):
    """Return tensors of random numbers under the authors' keys."""
    rng = np.random.default_rng(seed)
    state = OrderedDict()
    for key, value in torch_state(model).items():
        if value.dtype == np.float32:
            value = rng.standard_normal(value.shape).astype("float32")
            value = np.abs(value) if key.endswith("running_var") else value
        elif key.endswith("num_batches_tracked"):
            value = np.array(rng.integers(1, 10**6))  # as after a training
        state[key] = torch.from_numpy(np.array(value))
    return state


def as_trained(state):
    """Return what the authors' scripts write: DataParallel's keys, optimizer and best accuracy."""
    prefixed = OrderedDict((f"module.{key}", value) for key, value in state.items())
    return {
        "epoch": 255,
        "state_dict": prefixed,
        "best_top1_acc": np.float64(69.5),
        "best32": np.float32(69.5),
        "best_tensor": torch.tensor(69.5),
        "optimizer": {"state": {0: {"step": 1, "exp_avg": torch.zeros(3)}}, "param_groups": []},
    }
