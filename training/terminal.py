"""The terminal: tables that fit it, text without control characters, no TensorFlow messages."""

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

NEEDED_FILES = 64  # more descriptors than TensorFlow and a run have open at once
NEEDED_ADDRESSES = 3 * 2**30  # bytes; TensorFlow alone maps 2.1 GiB

# TensorFlow imports these packages if they are installed. No command needs them: they convert JAX
# functions, distort images and read tables.
UNUSED_PACKAGES = ("jax", "pandas", "scipy")

OPEN = {"ignore_unknown_options": True}  # --key and --no-key are settings, not options


def prepare_standard_streams() -> None:
    """Make the three standard streams usable, even if the process was started with closed ones.

    The next opened file would take the number of a closed stream, and libraries would print into
    that file. A character that a stream's encoding lacks is written as an escape.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:  # it was closed when Python started
            setattr(sys, name, os.fdopen(number, "w", errors="backslashreplace", closefd=False))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class _Heedless(io.FileIO):
    """Standard output that accepts writes even if its reader left or its disk is full."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except OSError as error:
            unheard(error)
            return memoryview(data).nbytes


def unheard(error: OSError) -> None:
    """Discard all later standard output; print the reason, unless the reader left."""
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 1)
    if not isinstance(error, BrokenPipeError):
        with suppress(OSError):
            os.write(2, f"Standard output cannot be written ({error.strerror}).\n".encode())


@contextmanager
def outliving_readers() -> Iterator[None]:
    """Ignore a broken standard output while the block runs, so that it does not stop a training."""
    before = sys.stdout
    if not isinstance(before, io.TextIOWrapper) or before is not sys.__stdout__:
        yield  # a notebook or a test has replaced it
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
    """Raise ZooError if the system's limits for this process are too low for TensorFlow."""
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
    """Replace control characters by escapes, so that `text` can be printed on a terminal.

    `text` may contain a file's name or content. Line ends and tabs stay.
    """
    return "".join(
        each if each.isprintable() or each in "\n\t" else each.encode("unicode_escape").decode()
        for each in text
    )


def load_tensorflow() -> None:
    """Import TensorFlow without its start-up messages; ZOO_DEBUG=1 shows them.

    Raises:
        ZooError: the system's limits for this process are too low for TensorFlow.
    """
    check_limits()
    # larq warns about binary kernels without `kernel_constraint`. No paper has one: only our small
    # networks clip latent weights.
    logging.getLogger("larq").setLevel(logging.ERROR)
    with absent(UNUSED_PACKAGES):
        import_tensorflow()
    gc.freeze()  # imported objects stay; later garbage collections need not search them


def on_terminal() -> bool:
    """Return whether the output goes to a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def has_room() -> bool:
    """Return whether wide tables fit: on a wide terminal, and in files and pipes."""
    return not on_terminal() or shutil.get_terminal_size().columns >= 130


def print_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()
) -> None:
    """Print a table that fits the terminal; elsewhere print each row as one whole line."""
    rows = [[plain(cell) for cell in row] for row in rows]
    if on_terminal():
        from rich import box
        from rich.console import Console, JustifyMethod
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=0)
        for column, head in enumerate(heads):
            # Text is folded; figures and the first column are not.
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
