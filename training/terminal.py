"""The terminal: tables that fit it, text that cannot steer it, and no noise of TensorFlow's."""

from __future__ import annotations

import gc
import io
import logging
import os
import resource
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import click

from zoo.errors import ZooError
from zoo.quiet import absent, import_tensorflow

NEEDED_FILES = 64  # descriptors that TensorFlow and a run have open at once, with room to spare
NEEDED_ADDRESSES = 3 * 2**30  # bytes; TensorFlow alone maps 2.1 GiB

# TensorFlow imports them where they are installed, for what no command uses: its converter of JAX's
# functions, distortions of images, tables as inputs.
UNUSED_PACKAGES = ("jax", "pandas", "scipy")

OPEN = {"ignore_unknown_options": True}  # --key and --no-key are settings, not options


def prepare_standard_streams() -> None:
    """Give this process three streams that can be used, whatever it was started with.

    A closed one would give its number to the next file that is opened, and what libraries print
    would go there. Text that a stream's encoding lacks is written as escapes.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:  # closed when Python began
            setattr(sys, name, os.fdopen(number, "w", errors="backslashreplace", closefd=False))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class _Heedless(io.FileIO):
    """Standard output that goes on where nobody reads it any more, or its disk is full."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except OSError as error:
            unheard(error)
            return memoryview(data).nbytes


def unheard(error: OSError) -> None:
    """Send what is still written to standard output nowhere, and say why unless its reader left."""
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 1)
    if not isinstance(error, BrokenPipeError):
        with suppress(OSError):
            os.write(2, f"Standard output cannot be written ({error.strerror}).\n".encode())


@contextmanager
def outliving_readers() -> Iterator[None]:
    """While the block runs, a standard output that breaks ends nothing: a training matters more."""
    before = sys.stdout
    if not isinstance(before, io.TextIOWrapper) or before is not sys.__stdout__:
        yield  # a notebook or a test reads it
        return
    with suppress(OSError):
        before.flush()
    raw = _Heedless(1, "w", closefd=False)
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(raw), before.encoding, before.errors, line_buffering=True
    )
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stdout = before


def check_limits() -> None:
    """Raise ZooError where the system's limits for this process leave TensorFlow no room."""
    files, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most_files if most_files != resource.RLIM_INFINITY else max(files, 4096)
    if files != resource.RLIM_INFINITY and files < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most_files))
    if 0 <= wanted < NEEDED_FILES:
        raise ZooError(
            f"This process may open only {wanted} files, but needs {NEEDED_FILES}: raise the limit "
            "(ulimit -n)."
        )
    addresses = resource.getrlimit(resource.RLIMIT_AS)[0]
    if addresses != resource.RLIM_INFINITY and addresses < NEEDED_ADDRESSES:
        raise ZooError(
            f"This process may use only {addresses / 2**30:.1f} GiB of address space, but "
            f"TensorFlow needs {NEEDED_ADDRESSES // 2**30}: raise the limit (ulimit -v)."
        )


def plain(text: str) -> str:
    """Text that may hold a file's name or content, for a terminal: what would steer it is shown as
    an escape. Line ends and tabs stay."""
    return "".join(
        each if each.isprintable() or each in "\n\t" else each.encode("unicode_escape").decode()
        for each in text
    )


def load_tensorflow() -> None:
    """Import TensorFlow without the noise it makes; ZOO_DEBUG=1 shows it.

    Raises:
        ZooError: the system's limits for this process leave it no room.
    """
    check_limits()
    # larq warns of binary kernels without `kernel_constraint`, which no paper has: only our small
    # networks clip latent weights.
    logging.getLogger("larq").setLevel(logging.ERROR)
    with absent(UNUSED_PACKAGES):
        import_tensorflow()
    gc.freeze()  # what was imported stays: no later search for garbage need look at it


def on_terminal() -> bool:
    """Whether a person is looking at the output."""
    return sys.stdout is not None and sys.stdout.isatty()


def has_room() -> bool:
    """Whether wide tables fit: on a wide terminal, and wherever lines may be long."""
    return not on_terminal() or shutil.get_terminal_size().columns >= 130


def print_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()
) -> None:
    """A table fitted to the terminal; elsewhere plain lines with nothing folded or cut."""
    rows = [[plain(cell) for cell in row] for row in rows]
    if on_terminal():
        from rich import box
        from rich.console import Console, JustifyMethod
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=0)
        for column, head in enumerate(heads):
            # Text folds; figures and the names in front do not.
            widest = max((len(row[column]) for row in rows), default=0)
            whole = widest if column in right or column == 0 else None
            justify: JustifyMethod = "right" if column in right else "left"
            table.add_column(head, justify=justify, min_width=whole, overflow="fold")
        for row in rows:
            table.add_row(*map(Text, row))
        Console(highlight=False).print(table)
        return
    lines = [heads, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            text.rjust(width) if column in right else text.ljust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())
