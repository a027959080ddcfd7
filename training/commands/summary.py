"""`lqz summary`: what a model is made of."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from training.commands.network import build_model, typed_arguments
from training.terminal import OPEN, load_tensorflow


@click.command(context_settings=OPEN)
@click.argument("model")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("--json", "as_json", is_flag=True, help="Totals and layers, as JSON.")
def summary(model: str, arguments: Sequence[str], as_json: bool) -> None:
    """Layers, operations and memory of MODEL, built with ARGUMENTS.

    ARGUMENTS are those of its constructor, e.g. "input_shape=(32,32,3)" num_classes=10.
    """
    import zoo
    from training.settings.configuration import parse_arguments

    options = {"weights": None} | parse_arguments(arguments)
    load_tensorflow()
    options = typed_arguments(model, options)
    network = build_model(model, options)
    totals = zoo.profile(network)
    from larq.models import ModelProfile
    from larq.models import summary as larq_summary

    names = ("params", "memory_bytes", "binary_macs", "float_macs", "ops")
    figures = {name: getattr(totals, name) for name in names}
    if as_json:
        head, *layers, _total = ModelProfile(network).generate_table()
        rows = [dict(zip(map(_one_line, head), layer, strict=True)) for layer in layers]
        found = {"model": model, "arguments": options, **figures, "layers": rows}
        click.echo(json.dumps(found, indent=2, default=str))
        return
    larq_summary(network, print_fn=click.echo)
    click.echo(
        f"{model}: {figures['params']:,} parameters, {totals.memory_bytes / 2**20:,.2f} MiB, "
        f"{totals.binary_macs:,} binary and {totals.float_macs:,} float MACs, {totals.ops:,.0f} OPs"
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
