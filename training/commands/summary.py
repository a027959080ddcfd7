"""`lqz summary`: the layers and totals of a model."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from training.commands import completion
from training.commands.arguments import read_options
from training.commands.network import resolve
from training.terminal import OPEN


@click.command(context_settings=OPEN)
@click.argument("model", shell_complete=completion.models)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("--json", "as_json", is_flag=True, help="Print totals and layers as JSON.")
def summary(model: str, arguments: Sequence[str], as_json: bool) -> None:
    """Show the layers, operations and memory of MODEL, built with ARGUMENTS.

    MODEL is a name of `lqz list`, a run directory, or a .keras, .h5 or .npz file. ARGUMENTS are
    those of a model's constructor, e.g. "input_shape=(32,32,3)" num_classes=10.
    """
    import zoo

    found = resolve(model, read_options(arguments), needs_weights=False)
    network = found.model()
    totals = zoo.profile(network)
    from zoo.adapters.larq import ModelProfile
    from zoo.adapters.larq import summary as larq_summary

    names = ("params", "memory_bytes", "binary_macs", "float_macs", "ops")
    figures = {name: getattr(totals, name) for name in names}
    if as_json:
        head, *layers, _total = ModelProfile(network).generate_table()
        rows = [dict(zip(map(_one_line, head), layer, strict=True)) for layer in layers]
        options = {"weights": found.weights or None, **found.arguments}
        shown = {"model": model, "arguments": options, **figures, "layers": rows}
        click.echo(json.dumps(shown, indent=2, default=str))
        return
    larq_summary(network, print_fn=click.echo)
    click.echo(
        f"{model}: {figures['params']:,} parameters, {totals.memory_bytes / 2**20:,.2f} MiB, "
        f"{totals.binary_macs:,} binary and {totals.float_macs:,} float MACs, {totals.ops:,.0f} OPs"
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
