"""Compile a network in C on this machine and call it with NumPy arrays."""

from __future__ import annotations

import ctypes
import json
import os
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo import files
from zoo.deploy.c.write import FORMAT, MANIFEST
from zoo.errors import DeployError, InvalidValueError

if TYPE_CHECKING:
    from os import PathLike

COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-std=c11", "-O3")


class CNetwork:
    """A compiled network: `network(images)` returns its outputs.

    Attributes:
        name: name of the network in C.
        input_shape, output_shape: shapes of one image and of its outputs.
        classes: names of the classes, or None.
        binary_convolutions: names of the binary convolutions.
        instructions: the instruction set that it uses on this machine.
    """

    def __init__(self, manifest: dict[str, Any], library: Path):
        self.name = manifest["name"]
        self.input_shape = tuple(manifest["input_shape"])
        self.output_shape = tuple(manifest["output_shape"])
        self.classes = manifest["classes"]
        self.binary_convolutions = tuple(manifest["binary_convolutions"])
        self._workspace = manifest["workspace"]
        self._thread = threading.local()
        self._library = ctypes.CDLL(str(library))
        self._library.bnn_instructions.restype = ctypes.c_char_p
        self.instructions = self._library.bnn_instructions().decode()
        self._run: dict[Any, Any] = {np.dtype(np.float32): self._function("run")}
        if manifest["uint8"]:
            self._run[np.dtype(np.uint8)] = self._function("run_uint8")

    def _function(self, name: str) -> Any:
        function = getattr(self._library, f"{self.name}_{name}")
        function.argtypes = [ctypes.c_void_p] * 3
        function.restype = None
        return function

    def __call__(self, images: Any) -> np.ndarray:
        """Return the outputs (batch, ...) of images (batch, ...), or the outputs of one image.

        Args:
            images: normalised values, or uint8 values from 0 to 255, which are normalised here.

        Raises:
            InvalidValueError: the shape is wrong, or the network does not accept bytes.
        """
        array = np.asarray(images)
        array = np.ascontiguousarray(array, np.uint8 if array.dtype == np.uint8 else np.float32)
        single = array.shape == self.input_shape
        batch = array[None] if single else array
        if batch.shape[1:] != self.input_shape:
            raise InvalidValueError(
                f"{self.name} takes images of shape {self.input_shape}, or a batch of them, not "
                f"{array.shape}."
            )
        if batch.dtype not in self._run:
            raise InvalidValueError(f"{self.name} takes float32 images, not bytes.")
        outputs = np.empty((len(batch), *self.output_shape), np.float32)
        run, workspace = self._run[batch.dtype], self._own_workspace()
        image, output = batch.ctypes.data, outputs.ctypes.data
        for _ in batch:
            run(image, output, workspace)
            image += batch.strides[0]
            output += outputs.strides[0]
        return outputs[0] if single else outputs

    def _own_workspace(self) -> int:
        """Return the address of this thread's workspace: several threads may call the network."""
        if not hasattr(self._thread, "workspace"):
            self._thread.workspace = np.empty(self._workspace, np.uint8)
            self._thread.address = self._thread.workspace.ctypes.data
        return self._thread.address


def load_c(directory: str | PathLike[str], *, flags: Sequence[str] = FLAGS) -> CNetwork:
    """Compile an export of `to_c` with this machine's C compiler, to call it with NumPy arrays.

    Args:
        directory: the export's directory.
        flags: flags for the compiler; the environment variable CC names another compiler.

    Raises:
        DeployError: there is no compiler, it fails, or the export is incomplete.
    """
    directory = Path(directory)
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "network.so"
        compile_c(directory, library, flags)
        return CNetwork(read_manifest(directory), library)  # after loading, the file may be deleted


def compile_c(directory: Path, library: Path, flags: Sequence[str] = FLAGS) -> None:
    """Compile an export to a shared library; raises the errors of `load_c`."""
    name = read_manifest(directory)["name"]
    compiler = find_compiler()
    command = [
        *compiler,
        *flags,
        "-shared",
        "-fPIC",
        "-o",
        str(library),
        str(directory / f"{name}.c"),
        str(directory / "bnn.c"),
        "-lm",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = next((line for line in done.stderr.splitlines() if "error" in line), "no message")
        raise DeployError(
            f"'{compiler[0]}' could not compile '{directory}': {said.strip().rstrip('.')}."
        )


def find_compiler() -> list[str]:
    """Return the command of a C compiler: CC from the environment, or the first installed one."""
    named = shlex.split(os.environ.get("CC", ""))
    for command in [named] if named else [[name] for name in COMPILERS]:
        if shutil.which(command[0]):
            return command
    what = f"The compiler '{named[0]}' of CC" if named else "A C compiler"
    raise DeployError(f"{what} is not installed: install gcc or clang, or name one with CC.")


def read_manifest(directory: Path) -> dict[str, Any]:
    """Check an export's files and return its manifest.

    Raises:
        DeployError: there is no export, or a file is missing or has changed.
    """
    try:
        manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise ValueError(manifest["format"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DeployError(
            f"'{directory}' is not a complete export to C: it has no readable {MANIFEST}."
        ) from error
    for name, digest in manifest["files"].items():
        if name.endswith((".c", ".h")):
            path = directory / name
            if not path.is_file():
                raise DeployError(
                    f"'{directory}' is not a complete export to C: '{name}' is missing."
                )
            if files.sha256(path) != digest:
                raise DeployError(f"'{path}' was changed after the export: export it again.")
    return manifest
