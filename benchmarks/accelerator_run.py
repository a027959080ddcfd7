"""Time training steps on a GPU: this project's with JAX, and the same networks in plain PyTorch.

Run on the machine with the GPU: python accelerator_run.py [--steps 50] [--rounds 3]. It prints a
line of JSON per network: images per second of a compiled call of many steps (the median of rounds
in which all take turns).
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import jax
import numpy as np
from run import stablehlo_function  # the file beside this one

HERE = Path(__file__).parent


def jax_step(entry: dict, steps: int):
    """Return a function that trains `steps` steps on random images and waits for their end."""
    jax.config.update("jax_enable_x64", True)
    call = stablehlo_function((HERE / entry["file"]).read_bytes(), entry["results"])
    random = np.random.default_rng(0)
    values = {}
    for name, dtype, shape, value in entry["inputs"]:
        positive = np.abs(random.normal(size=shape)) + 0.1  # positive, so also valid as a variance
        values[name] = np.asarray(positive if value is None else value, dtype)
    images = random.normal(size=(entry["batch"], *entry["image_shape"])).astype(np.float32)
    labels = random.integers(entry["classes"], size=entry["batch"]).astype(np.int32)
    names = [name for name, *_ in entry["inputs"]]
    changed = [name for name in entry["outputs"] if name != "learning_rate"]
    data = jax.device_put((images, labels, {k: v for k, v in values.items() if k not in changed}))
    state = jax.device_put({name: values[name] for name in changed})

    def one(state, data):
        images, labels, fixed = data
        every = {**fixed, **state}
        _, *new = call(images, labels, np.float32(1e-3), *(every[name] for name in names))
        new = dict(zip(entry["outputs"], new, strict=True))
        return {name: new[name] for name in state}

    def many(state, data):
        return jax.lax.scan(lambda s, _: (one(s, data), None), state, None, length=steps)[0]

    # On CPUs, XLA's convolutions are hundreds of times slower inside a loop.
    in_one_call = jax.devices()[0].platform != "cpu"
    function = jax.jit(many if in_one_call else one, donate_argnums=0)
    compiled = function.lower(state, data).compile()

    def run() -> None:
        nonlocal state
        for _ in range(1 if in_one_call else steps):
            state = compiled(state, data)
        jax.block_until_ready(state)

    return run


def main() -> None:
    """Parse the command line and measure all contenders, which take turns."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="labels that contain this")
    arguments = parser.parse_args()
    device = jax.devices()[0].device_kind
    entries = json.loads((HERE / "steps.json").read_text(encoding="utf-8"))
    entries = [entry for entry in entries if arguments.only in entry["label"]]
    contenders = []
    for entry in entries:
        began = time.perf_counter()
        run = jax_step(entry, arguments.steps)
        run()
        said = {"label": entry["label"], "library": f"JAX {jax.__version__}"}
        compiled = round(time.perf_counter() - began, 1)
        contenders.append((said | {"seconds_to_compile": compiled}, entry["batch"], run))
    try:
        import accelerator_torch

        plain = accelerator_torch.contenders(entries, arguments.steps)
    except ImportError as error:
        print(f"Without PyTorch: {error}")
        plain = []
    contenders += plain
    times: list[list[float]] = [[] for _ in contenders]
    for _ in range(arguments.rounds):
        for taken, (_, _, run) in zip(times, contenders, strict=True):
            began = time.perf_counter()
            run()
            taken.append(time.perf_counter() - began)
    for taken, (said, batch, _) in zip(times, contenders, strict=True):
        seconds = statistics.median(taken) / arguments.steps
        figures = {
            "images_per_second": round(batch / seconds),
            "ms_per_step": round(1e3 * seconds, 3),
        }
        print(json.dumps({**said, "device": device, **figures}), flush=True)


if __name__ == "__main__":
    main()
