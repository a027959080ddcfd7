"""The terminal: tables that fit it, and TensorFlow's noise kept away from it."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Sequence

import click

from zoo.quiet import import_tensorflow

OPEN = {"ignore_unknown_options": True}  # --key and --no-key are settings, not options


def load_tensorflow() -> None:
    """Import TensorFlow without the noise it makes; ZOO_DEBUG=1 shows it."""
    # larq warns of binary kernels without `kernel_constraint`, which no paper has: only our small
    # networks clip latent weights.
    logging.getLogger("larq").setLevel(logging.ERROR)
    import_tensorflow()


def on_terminal() -> bool:
    """Whether a person is looking at the output."""
    return sys.stdout.isatty()


def has_room() -> bool:
    """Whether wide tables fit: on a wide terminal, and wherever lines may be long."""
    return not on_terminal() or shutil.get_terminal_size().columns >= 130


def print_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()
) -> None:
    """A table fitted to the terminal; elsewhere plain lines with nothing folded or cut."""
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
