"""Run training programs: `python run.py [DIR ...] [--minutes M]`.

A program is a folder that `lqz train TASK --program DIR` wrote: a training step as StableHLO, the
images, and the state to start from. This script needs Python 3.10, NumPy, Pillow and JAX, and runs
on the devices of `jax.devices()`. Without DIR it uses its own folder; several programs can run at
the same time. Each epoch ends by writing `state.npz`. When started again, the script continues from
there, also after Ctrl-C, `kill -9` or the time limit. `lqz train TASK --from-program DIR` loads the
state.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

# The files beside this one in a program.
from photograph_batches import UnreadableImageError
from program_files import Program, ProgramError


def stablehlo_function(code: bytes, results: list):
    """Return a function that JAX can trace, from StableHLO's portable format.

    Args:
        code: a module with one public function, `main`.
        results: NumPy type and shape of each value that `main` returns.
    """
    import jax
    from jax.extend.core import Primitive
    from jax.interpreters import mlir
    from jaxlib.mlir import ir
    from jaxlib.mlir.dialects import func, stablehlo

    shapes = [jax.core.ShapedArray(tuple(shape), np.dtype(kind)) for kind, shape in results]

    def lower(context, *arguments):
        target = context.module_context
        module = stablehlo.deserialize_portable_artifact(target.context, code)
        [main] = (f for f in module.body.operations if f.attributes["sym_name"].value == "main")
        types = list(main.attributes["function_type"].value.results)
        name = mlir.merge_mlir_modules(
            target.module, "train_step", module, dst_symtab=target.symbol_table
        )
        return func.CallOp(types, ir.FlatSymbolRefAttr.get(name), arguments).results

    primitive = Primitive("train_step")
    primitive.multiple_results = True
    primitive.def_abstract_eval(lambda *_: shapes)
    mlir.register_lowering(primitive, lower)
    return primitive.bind


def say(text: str, end: str = "\n") -> None:
    """Print a line; if nobody reads the output any more, the training goes on without it."""
    try:
        print(text, end=end, flush=True)
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115


class Trainer:
    """Train a program on a device.

    `whole_epochs`: one call per epoch instead of one per step; None chooses for the device. With
    photographs, each step is a call.
    """

    def __init__(self, program: Program, whole_epochs: bool | None = None):
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_enable_x64", True)
        self.jax, self.program = jax, program
        self.device = jax.devices()[0]
        call = stablehlo_function(program.step, program.manifest["results"])
        inputs, outputs = program.manifest["inputs"], program.manifest["outputs"]
        self.changing = [name for name in outputs if name in program.arrays]
        height, width, channels = program.manifest["image_shape"]
        pad = program.manifest["padding"]
        data = {"labels": program.tables["labels"]}
        if program.photographs is None:
            # "normalised": for each pixel value and channel, the number that `lqz train` computes.
            data |= {"images": program.images, "normalised": program.tables["normalised"]}
        self.data = jax.device_put(data, self.device)

        def cropped(data, batch):
            columns = jnp.arange(width)
            columns = jnp.where(batch["flip"][:, None], width - 1 - columns, columns)
            rows = batch["top"][:, None] + jnp.arange(height)
            columns = columns + batch["left"][:, None]
            images = data["images"][batch["index"]]
            images = jnp.pad(images, [(0, 0), (pad, pad), (pad, pad), (0, 0)])
            lanes = jnp.arange(len(images))[:, None, None]
            images = images[lanes, rows[:, :, None], columns[:, None, :]]
            return data["normalised"][images, jnp.arange(channels)]

        def step(state, fixed, data, batch):
            images = cropped(data, batch) if program.photographs is None else batch["image"]
            values = {**fixed, **state, "learning_rate": batch["rate"]}
            sums, *new = call(
                images, data["labels"][batch["index"]], batch["rate"], *(values[n] for n in inputs)
            )
            new = dict(zip(outputs, new, strict=True))
            return {name: new.get(name, state[name]) for name in state}, sums

        def epoch(state, fixed, data, batches):
            return jax.lax.scan(lambda s, batch: step(s, fixed, data, batch), state, batches)

        if whole_epochs is None:
            # On CPUs, XLA's convolutions are hundreds of times slower inside a loop.
            whole_epochs = program.photographs is None and self.device.platform != "cpu"
        self.whole_epochs = whole_epochs
        self.run = jax.jit(epoch if self.whole_epochs else step, donate_argnums=0)

    def train(self, say, deadline: float, stopping) -> None:
        """Train until all epochs are done, `deadline` has passed, or `stopping()` is true."""
        program, loop = self.program, self.program.loop
        names = {n for n in program.manifest["inputs"] if n in program.arrays}
        took = 0.0
        while loop["done_steps"] < program.total_steps and not stopping():
            if (
                self.whole_epochs and time.monotonic() + took > deadline
            ) or time.monotonic() > deadline:
                say("The time limit is reached.")
                return
            began = time.monotonic()
            epoch, first = divmod(loop["done_steps"], program.steps_per_epoch)
            if first == 0:
                program.arrays["totals"] = np.zeros(3)
            state = {name: program.arrays[name] for name in names}
            state, sums = self._epoch(epoch, first, state, deadline, stopping)
            for each in sums:  # in the same order as `lqz train`
                program.arrays["totals"] = program.arrays["totals"] + each
            if not np.isfinite(sums).all() or not all(
                np.isfinite(v).all() for v in state.values() if v.dtype.kind == "f"
            ):
                raise ProgramError(
                    f"The loss or a weight became infinite or NaN in epoch {epoch + 1}; the state "
                    "after the previous epoch is kept. Try a lower learning rate."
                )
            took = time.monotonic() - began
            program.arrays.update(state)
            line = self._note(epoch, len(sums), took)
            program.save()
            say(line)
        if loop["done_steps"] == program.total_steps:
            say("All epochs are done: load the state with lqz train ... --from-program.")

    def _epoch(self, epoch, first, state, deadline, stopping):
        """Train to the end of an epoch; return the state on the host, and sums [steps, 3]."""
        put, program = self.jax.device_put, self.program
        table = program.batches(epoch, first)
        batches = put(table, self.device)
        state, fixed = put(state, self.device), put(program.fixed(epoch), self.device)
        if self.whole_epochs:
            state, sums = self.run(state, fixed, self.data, batches)
            return {name: np.asarray(value) for name, value in state.items()}, np.asarray(sums)
        sums = []
        cut = (
            program.photographs.batches(program.key(epoch), table["position"], table["index"])
            if program.photographs
            else itertools.repeat(None)
        )
        for i, images in zip(range(len(table["rate"])), cut, strict=False):
            batch = {name: value[i] for name, value in batches.items()}
            if images is not None:
                batch["image"] = put(images, self.device)
            state, one = self.run(state, fixed, self.data, batch)
            sums.append(one)
            self.jax.block_until_ready(sums[max(0, i - 1)])  # prepare only one step ahead
            if stopping() or time.monotonic() > deadline:
                break
        state, sums = self.jax.device_get((state, sums))
        return state, np.stack(sums)

    def _note(self, epoch: int, steps: int, took: float) -> str:
        """Update the loop's state, with a row at an epoch's end; return a line about it."""
        program, loop = self.program, self.program.loop
        loop["done_steps"] += steps
        loop["seconds"] += took
        done = loop["done_steps"] - epoch * program.steps_per_epoch
        position = done * program.batch_size
        program.arrays["position"], loop["positions"] = np.int64(position), [position]
        if done < program.steps_per_epoch:
            return f"Stopped in epoch {epoch + 1} after step {done} of {program.steps_per_epoch}."
        loss, correct, images = program.arrays["totals"]
        speed = steps * program.batch_size / took
        row = {
            "epoch": epoch + 1,
            "learning_rate": float(program.tables["learning_rate"][loop["done_steps"] - 1]),
            "loss": loss / images,
            "top1": 100 * correct / images,
            "validation_loss": None,
            "validation_top1": None,
            "validation_top5": None,
            "seconds": took,
            "images_per_second": speed,
            "input_wait": 0.0,
            "device": f"{self.device.device_kind}, JAX {self.jax.__version__}",
        }
        loop["history"].append(row)
        return (
            f"epoch {row['epoch']}/{program.epochs}  loss {row['loss']:.4f}  "
            f"top-1 {row['top1']:.2f} %  {speed:,.0f} images/s  {took:.1f} s"
        )


def train(folder: Path, deadline: float) -> None:
    """Train one program, in this process."""
    program = Program(folder)
    stop = threading.Event()

    def ask(signum, frame):
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    signal.signal(signal.SIGINT, ask)
    signal.signal(signal.SIGTERM, ask)
    trainer = Trainer(program)
    say(f"{program.manifest['name']} on {trainer.device.device_kind}, {program.epochs} epochs.")
    trainer.train(say, deadline, stop.is_set)


def side_by_side(folders: list[Path], minutes: float) -> int:
    """Run a process for each program; print all their lines; return the worst exit code."""
    environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **os.environ}
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to the processes too

    def watch(folder: Path, codes: list[int]) -> None:
        command = [sys.executable, __file__, str(folder), "--minutes", str(minutes)]
        process = subprocess.Popen(
            command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        processes.append(process)
        for line in process.stdout or ():
            say(f"[{folder.name}] {line}", end="")
        codes.append(process.wait())

    processes: list[subprocess.Popen] = []

    def end_all(*_) -> None:
        for process in processes:
            process.terminate()

    signal.signal(signal.SIGTERM, end_all)
    codes: list[int] = []
    threads = [threading.Thread(target=watch, args=(f, codes)) for f in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(map(abs, codes))  # a process that a signal ended has a negative code


def main() -> int:
    """Parse the command line and train; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    here = Path(__file__).resolve().parent
    parser.add_argument("folders", nargs="*", type=Path, default=[here], metavar="DIR")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop by then")
    options = parser.parse_args()
    began = time.monotonic()
    try:
        if len(options.folders) > 1:
            return side_by_side(options.folders, options.minutes)
        train(options.folders[0], began + 60 * options.minutes)
    except (ProgramError, UnreadableImageError, ImportError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
