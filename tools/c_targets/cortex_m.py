"""Run networks on a Cortex-M, as firmware for the MPS2 board that qemu emulates."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tools.c_targets.targets import FLAGS, NAME, SOURCES, Results, checked, require_tools
from zoo.errors import DeployError

PACKAGES = "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
TICK = 40  # instructions: the timer runs at 25 MHz, an instruction takes 1 ns


@dataclass(frozen=True)
class Core:
    """A Cortex-M, and qemu's board with it."""

    name: str
    board: str
    flags: tuple[str, ...]


M4 = Core("Cortex-M4", "mps2-an386", ("-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"))
M7 = Core("Cortex-M7", "mps2-an500", ("-mcpu=cortex-m7", "-mfloat-abi=hard", "-mfpu=fpv5-sp-d16"))
M3 = Core("Cortex-M3", "mps2-an385", ("-mcpu=cortex-m3",))  # no floating-point unit


@dataclass(frozen=True)
class Part:
    """The memory of a microcontroller, in bytes.

    Attributes:
        stack: bytes of the RAM for the stack.
        pixels: pixels that are computed together in a layer (CHUNK): fewer need less stack.
    """

    flash: int
    ram: int
    stack: int = 4096
    pixels: int = 16


@dataclass(frozen=True)
class Firmware:
    """A program in flash.

    Attributes:
        flash, ram: bytes in use; the RAM includes the whole stack.
    """

    core: Core
    part: Part
    path: Path
    flash: int
    ram: int


@dataclass(frozen=True)
class Measured:
    """The results of a run.

    Attributes:
        results: results for the images.
        instructions: number of instructions per image, to a precision of `TICK`.
        stack: bytes of the stack that were written.
        calibration: number of instructions that the timer counted in a loop of 2,000,000.
    """

    results: Results
    instructions: np.ndarray
    stack: int
    calibration: int


def build_firmware(
    core: Core, part: Part, export: Path, *, optimize: str = "-O2", watch: bool = True
) -> Firmware:
    """Compile the output of `to_c(model, export, name=NAME)`: a network for images of bytes.

    Args:
        watch: whether the program reads the signs, which takes instructions.

    Raises:
        DeployError: a tool is missing, or the network does not fit in the part's memory.
    """
    require_tools(("arm-none-eabi-gcc", "arm-none-eabi-size", "qemu-system-arm"), PACKAGES)
    path = export / f"{core.board}.elf"
    sizes = {"FLASH_SIZE": part.flash, "RAM_SIZE": part.ram, "STACK_SIZE": part.stack}
    sources = [SOURCES / "firmware.c", SOURCES / "watch.c", export / f"{NAME}.c", export / "bnn.c"]
    checked(
        [
            "arm-none-eabi-gcc",
            *core.flags,
            "-mthumb",
            *(FLAGS if watch else FLAGS[:1]),
            optimize,
            "-ffunction-sections",
            "-fdata-sections",
            f"-DCHUNK={part.pixels}",
            f"-I{export}",
            f"-I{SOURCES}",
            *sources,
            "-nostartfiles",
            "-T",
            SOURCES / "cortex_m.ld",
            *(f"-Wl,--defsym={symbol}={size}" for symbol, size in sizes.items()),
            "-Wl,--gc-sections",
            "-o",
            path,
            "-lm",
        ]
    )
    said = checked(["arm-none-eabi-size", "-A", path]).decode()
    size = {name: int(number) for name, number in re.findall(r"(?m)^(\.\S+) +(\d+)", said)}
    flash = size[".text"] + size.get(".ARM.exidx", 0) + size[".data"]
    return Firmware(core, part, path, flash, size[".data"] + size[".bss"] + size[".stack"])


def run_firmware(firmware: Firmware, images: np.ndarray, outputs: int) -> Measured:
    """Run images (batch, height, width, channels), uint8, on the emulated board.

    Raises:
        DeployError: the program ended with a fault.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "images.bin").write_bytes(images.tobytes())
        done = subprocess.run(
            [
                "qemu-system-arm",
                "-M",
                firmware.core.board,
                "-nographic",
                "-monitor",
                "none",
                "-serial",
                "null",
                "-semihosting-config",
                "enable=on,target=native",
                "-icount",
                "shift=0",
                "-kernel",
                firmware.path.absolute(),
            ],
            cwd=folder,
            timeout=600,
            capture_output=True,
        )
        if done.returncode:
            raise DeployError(
                f"The program ended with a fault on a {firmware.core.name}; its stack has "
                f"{firmware.part.stack:,} bytes."
            )
        words = np.fromfile(Path(folder, "outputs.bin"), "<u4")
    rows = words[1:-1].reshape(len(images), outputs + 2)
    results = Results.of(rows[:, :-1].copy(), outputs)
    return Measured(
        results, TICK * rows[:, -1].astype(np.int64), int(words[-1]), TICK * int(words[0])
    )
