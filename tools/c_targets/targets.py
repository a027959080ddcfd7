"""Build an export for a target, run it on images, and return its outputs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import DeployError

SOURCES = Path(__file__).parent / "sources"
NAME = "network"  # name of the network in C, for every model
FLAGS = ("-std=c11", "-DBNN_WATCH=watch")


@dataclass(frozen=True)
class Target:
    """A kind of machine.

    Attributes:
        name: its name in tables.
        kernels: the result of bnn_instructions there.
        compiler: the compiler's command, with flags that select the machine.
        runner: the command that runs a program for it; empty for this machine.
        packages: Debian's packages with compiler and runner.
        fused: whether its kernels multiply and add without rounding in between. Results are equal
            to the bit only between targets with the same value.
        web: whether programs are WebAssembly modules, which node runs.
    """

    name: str
    kernels: str
    compiler: tuple[str, ...]
    runner: tuple[str, ...] = ()
    packages: str = "gcc"
    fused: bool = False
    web: bool = False


X86 = Target("x86-64", "", ("gcc",), fused=True)  # AVX-512 or AVX2, as the machine supports
AVX2 = Target("x86-64, AVX2", "AVX2", ("gcc", "-DBNN_NO_AVX512"), fused=True)
PORTABLE = Target("x86-64, portable C", "portable C", ("gcc", "-DBNN_ONLY_PORTABLE"))
ARM64 = Target(
    "ARM64, NEON",
    "NEON",
    ("aarch64-linux-gnu-gcc", "-static"),
    ("qemu-aarch64",),
    "gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user",
    fused=True,
)
RISCV64 = Target(
    "RISC-V 64, portable C",
    "portable C",
    ("riscv64-linux-gnu-gcc", "-static"),
    ("qemu-riscv64",),
    "gcc-riscv64-linux-gnu libc6-dev-riscv64-cross qemu-user",
)
WEB_COMPILER = ("clang", "--target=wasm32-wasi", "-mexec-model=reactor", "-Wl,--strip-all")
WEB_PACKAGES = "clang lld wasi-libc libclang-rt-14-dev-wasm32 nodejs"
WASM = Target(
    "WebAssembly SIMD",
    "WebAssembly SIMD",
    (*WEB_COMPILER, "-msimd128"),
    ("node", str(SOURCES / "web.mjs")),
    WEB_PACKAGES,
    web=True,
)
PLAIN_WASM = Target(
    "WebAssembly, portable C", "portable C", WEB_COMPILER, WASM.runner, WEB_PACKAGES, web=True
)
EMULATED = (ARM64, RISCV64, WASM, PLAIN_WASM)


@dataclass(frozen=True)
class Results:
    """The results for images, in order.

    Attributes:
        outputs: float32 (images, outputs).
        signs: uint32 (images,), a digest of all signs that binary convolutions read.
    """

    outputs: np.ndarray
    signs: np.ndarray

    @classmethod
    def of(cls, words: np.ndarray, outputs: int) -> Results:
        """Make results from rows of 32-bit words: the outputs, then the digest."""
        rows = words.reshape(-1, outputs + 1)
        return cls(rows[:, :outputs].copy().view(np.float32), rows[:, outputs].copy())

    def same_as(self, other: Results) -> bool:
        """Return whether both are equal to the bit."""
        return np.array_equal(
            self.outputs.view(np.uint32), other.outputs.view(np.uint32)
        ) and np.array_equal(self.signs, other.signs)


def require_tools(commands: Sequence[str], packages: str) -> None:
    """Raise a DeployError unless all commands are installed."""
    missing = [command for command in commands if not shutil.which(command)]
    if missing:
        raise DeployError(f"'{missing[0]}' is not installed; Debian's packages are {packages}.")


def checked(command: Sequence[Any], **options: Any) -> bytes:
    """Run a command; return its standard output.

    Raises:
        DeployError: it failed; the message contains its first line that mentions an error.
    """
    done = subprocess.run([str(word) for word in command], capture_output=True, **options)
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").splitlines()
        line = next((line for line in said if "error" in line or "overflowed" in line), None)
        raise DeployError(
            f"'{command[0]}' ended with exit code {done.returncode}: "
            f"{(line or ''.join(said[-1:]) or 'no message').strip().rstrip('.')}."
        )
    return done.stdout


class Builder:
    """Compile exports; compile the kernels, which are equal in all, only once per target."""

    def __init__(self, folder: Path, optimize: str = "-O2"):
        self._folder, self._optimize = folder, optimize

    def build(self, target: Target, export: Path) -> Program:
        """Compile the output of `to_c(model, export, name=NAME)`.

        Raises:
            DeployError: a tool is missing or fails.
        """
        require_tools((target.compiler[0], *target.runner[:1]), target.packages)
        slug = "".join(letter if letter.isalnum() else "_" for letter in target.name)
        compiler = [*target.compiler, *FLAGS, self._optimize, f"-I{export}", f"-I{SOURCES}"]
        kernels = self._folder / f"{slug}.o"
        if not kernels.exists():
            checked([*compiler, "-c", export / "bnn.c", "-o", kernels])
        program = export / f"{slug}.{'wasm' if target.web else 'program'}"
        main = ["web.c"] if target.web else ["hosted.c", "watch.c"]
        sources = [SOURCES / name for name in main]
        checked([*compiler, *sources, export / f"{NAME}.c", kernels, "-o", program, "-lm"])
        return Program(target, program)


@dataclass(frozen=True)
class Program:
    """A network that is compiled for a target."""

    target: Target
    path: Path

    @cached_property
    def kernels(self) -> str:
        """Return the name of the instruction set that it uses."""
        return checked([*self.target.runner, self.path, "instructions"]).decode().strip()

    def run(self, images: np.ndarray, outputs: int) -> Results:
        """Return its results for normalised images (batch, height, width, channels), float32."""
        images = np.ascontiguousarray(images, np.float32)
        environment = {**os.environ, "IMAGE_BYTES": str(images[0].nbytes)}
        said = checked([*self.target.runner, self.path], input=images.tobytes(), env=environment)
        return Results.of(np.frombuffer(said, "<u4"), outputs)
