"""Write the files beside this with torch, and the numbers that torch reads from them.

Needs PyTorch: python tests/zoo/weights/torch_files/write.py
"""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

FORMATS = {"zip": {}, "legacy": {"_use_new_zipfile_serialization": False}}


def state():
    """Return a state_dict with every kind of tensor that it may contain."""
    torch.manual_seed(0)
    base = torch.randn(60)
    state = OrderedDict(
        plain=torch.randn(3, 4),
        base=base,
        part=base[10:30],
        turned=base[10:30].view(4, 5).t(),
        steps=torch.arange(12)[1::3],
        expanded=torch.randn(2, 1).expand(2, 3),
        parameter=torch.nn.Parameter(torch.randn(2, 2)),
        scalar=torch.tensor(3.5),
        counter=torch.tensor(1234567890123),
        empty=torch.zeros(0, 3),
        half=torch.randn(5).half(),
        bfloat16=torch.randn(5).bfloat16(),
        double=torch.randn(5, dtype=torch.float64),
        truth=torch.tensor([True, False, True]),
        **{
            f"int{bits}": torch.tensor([-3, 7], dtype=getattr(torch, f"int{bits}"))
            for bits in (8, 16, 32)
        },
        uint8=torch.tensor([3, 255], dtype=torch.uint8),
    )
    state._metadata = OrderedDict(version=1)  # as in the state_dicts of modules
    return state


def checkpoint():
    """Return the state together with other values that training scripts save."""
    return {
        "epoch": 255,
        "state_dict": state(),
        "best": np.float64(69.5),
        "single": np.float32(0.5),
        "count": np.int64(7),
        "rates": [0.1, (1, -(2**40), 2**80)],
        "none": None,
        "yes": True,
        "where": torch.device("cpu"),
        "shape": torch.Size([2, 3]),
        "type": torch.float32,
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]},
    }


def as_read(state):
    """Return the result of `zoo.weights.torch_file.read`: floating point becomes float32."""
    arrays = {}
    for key, value in state.items():
        value = value.detach()
        arrays[key] = (value.float() if value.is_floating_point() else value).numpy()
    return arrays


if __name__ == "__main__":
    folder = Path(__file__).parent
    for name, settings in FORMATS.items():
        torch.save(checkpoint(), folder / f"{name}.pth", **settings)
    np.savez_compressed(folder / "expected.npz", **as_read(state()))
