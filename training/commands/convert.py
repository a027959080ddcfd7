"""`lqz convert`: PyTorch's files into weight sets, and models into PyTorch's files."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from training.commands import completion
from training.commands.arguments import build_model, read_options, typed_arguments
from training.commands.known_network import catalog_row
from training.commands.network import Found, find, resolve
from training.terminal import OPEN, load_tensorflow
from zoo import catalog
from zoo.errors import InvalidValueError, WeightsError, printable
from zoo.extras import require
from zoo.files import expanded


@click.command(context_settings=OPEN)
@click.argument("model", shell_complete=completion.models)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[FILE] [KEY=VALUE]...")
@click.option(
    "--to",
    type=click.Choice(["torch", "packed"]),
    help="Write a file instead: a PyTorch file, or an .npz with one bit per binary weight.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The file that --to writes.")
@click.option("--name", help="Name of the stored set; by default the registered name.")
@click.option("--force", is_flag=True, help="Replace an existing set with that name.")
@click.option(
    "--entry",
    metavar="NAME",
    help="Which weights to take if a PyTorch FILE holds several, such as averaged ones.",
)
def convert(
    model: str,
    arguments: Sequence[str],
    to: str | None,
    output: Path | None,
    name: str | None,
    force: bool,
    entry: str | None,
) -> None:
    """Import the weights of MODEL from the authors' FILE, or write them for PyTorch.

    FILE was written by torch.save of any PyTorch version; for larq-zoo's models it is
    an .h5 file. Its code is never executed. The weights are compared with the model and stored, so
    that MODEL(weights=NAME) finds it. KEY=VALUE are arguments of the model, such as num_classes=10.

    With --to, FILE is an .npz or the name of a set (by default the registered one), MODEL may also
    be a run directory or an .npz file, and the file of -o is written. --to torch: a state_dict with
    the authors' keys. --to packed: an .npz with one bit per binary weight and one scale per filter,
    with bit-identical outputs.

    Only --to torch needs PyTorch: pip install '.[convert]' in a clone.
    """
    settings = [each for each in arguments if "=" in each and not Path(each).is_file()]
    files = [each for each in arguments if each not in settings]
    if len(files) > 1:
        raise InvalidValueError(f"Give one file at a time, not {', '.join(files)}.")
    options = read_options(settings)
    if "weights" in options:
        raise InvalidValueError("Give the name of the file or set without weights=.")
    found = find(model)
    if to is not None:
        if output is None:
            raise InvalidValueError(f"Give the output file: lqz convert {model} --to {to} -o FILE.")
        if entry is not None:
            raise InvalidValueError("--entry is for importing a PyTorch FILE, not for --to.")
        if found.row is not None and found.set_name is None:
            options["weights"] = files[0] if files else _registered_name(model, imports=False)
        elif files:
            raise InvalidValueError(f"'{model}' already contains weights: remove '{files[0]}'.")
        _export(model, found, output, options, to)
        return
    if found.row is None or found.set_name is not None:
        raise InvalidValueError(
            f"'{model}' is not a model of `lqz list`: import a file with lqz convert MODEL FILE."
        )
    set_name = name or _registered_name(model, imports=True)
    if not set_name.replace("-", "").replace("_", "").isalnum():
        raise InvalidValueError(
            f"A set's name may have letters, digits, '-' and '_', not '{set_name}'."
        )
    if options and not name:
        raise InvalidValueError(
            f"With {', '.join(settings)} these are not the weights of '{set_name}': choose a name "
            "with --name."
        )
    if not files:
        raise InvalidValueError(f"Give a file: lqz convert {model} FILE.")
    _import(found.row, expanded(files[0]), set_name, options, force, entry)


def _format_of(path: Path, row: catalog.Row) -> str:
    """Return the format of the user's file; files with unknown suffixes are read as PyTorch's."""
    if path.suffix in (".h5", ".hdf5", ".keras") or row.origin == "larq-zoo":
        return "keras"
    return "npz" if path.suffix == ".npz" else "pytorch"


def _registered_name(model: str, imports: bool) -> str:
    """Return the default set's name; with `imports`, that of the default set to import."""
    from zoo.pretrained.records import default_record

    found = default_record(model, importable=imports)
    return found.name if found else catalog.row(model).dataset


def _import(
    row: catalog.Row, file: Path, name: str, options: dict[str, Any], force: bool, entry: str | None
) -> None:
    from zoo.files import sha256
    from zoo.pretrained import cache
    from zoo.pretrained.cache import lock
    from zoo.pretrained.find import keeping
    from zoo.pretrained.records import find_record, imported_record

    record = find_record(row.model, name) or imported_record(row.model, name)
    if not file.is_file():
        raise WeightsError(f"There is no file '{file}'.")
    if cache.shipped(row.model, name):
        raise WeightsError(
            f"{row.model}'s set '{name}' is part of this package and would hide yours: give your "
            "set another --name."
        )
    digest = sha256(file)
    if record.sha256 and digest != record.sha256:
        raise WeightsError(
            f"'{file}' is not the registered file of {row.model}'s '{name}': its sha256 begins "
            f"with {digest[:12]}, not with {record.sha256[:12]}; keep this file under another "
            "--name."
        )
    _refuse_to_replace(row, name, force)
    format = _format_of(file, row)
    if entry is not None and format != "pytorch":
        raise InvalidValueError(f"--entry is for PyTorch files, not '{file.name}'.")
    load_tensorflow()
    from zoo.weights import imports, torch_file
    from zoo.weights.files import (
        check_weights,
        describe_npz,
        is_packed,
        read_npz,
        read_unused,
        write_npz,
    )
    from zoo.weights.keras_file import load_keras
    from zoo.weights.torch_state import load_torch_state, unused

    options = typed_arguments(row.model, options)
    # A file that cannot be read is refused before its model is built.
    state, card = {}, None
    if format == "pytorch":
        taken = torch_file.read_entry(file, entry)
        state = taken.state
        _say_entries(taken, file)
    elif format == "npz":
        state, (_, card) = read_npz(file, row.model.lower()), describe_npz(file)
    else:
        check_weights(file)
    classes = {"num_classes": record.num_classes}
    model = build_model(row.model, {**classes, **options, "weights": None})
    if format == "keras":
        load_keras(model, file, named=row.origin == "zoo")
    else:
        load_torch_state(model, torch_file.with_counters(state, model))
    if format == "pytorch":
        _report(imports.parity(model, state), file)
    suffix = ".h5" if row.origin == "larq-zoo" else ".npz"
    with lock(cache.home() / "locks" / f"{row.model}-{name}.lock"):
        _refuse_to_replace(row, name, force)  # another process may have stored it meanwhile
        with keeping(row.model, name, suffix, file.name, digest) as draft:
            if suffix == ".h5":
                shutil.copyfile(file, draft)
            else:
                rest = read_unused(file) if format == "npz" else state
                kept = unused(model, rest)
                write_npz(model, draft, kept, packed=is_packed(file), card=card)
    click.echo(f"Stored as {cache.cached(row.model, name)}")
    built = "".join(f", {key}={value!r}" for key, value in options.items())
    how = f'{row.model}(weights="{name}"{built})'
    click.echo(
        f"{how} loads it."
        if row.origin == "zoo"
        else (f'zoo.get_model("{row.model}", weights="{name}"{built}) loads it.')
    )


def _refuse_to_replace(row: catalog.Row, name: str, force: bool) -> None:
    from zoo.pretrained import cache

    if (path := cache.cached(row.model, name)) and not force:
        raise WeightsError(
            f"{row.model} already has a set '{name}', {path}: --force replaces it; another --name "
            "keeps both."
        )


def _report(parity: Any, file: Path) -> None:
    """Print the parity check; raise WeightsError if it failed."""
    click.echo(
        f"{file.name}: all {parity.keys} keys used, all {parity.variables} variables set, "
        f"{'equal to the bit' if parity.equal else 'NOT EQUAL'}.\n"
        f"{parity.layers} convolutions and dense layers computed by NumPy from the file and by "
        f"Keras from the model: largest relative difference {parity.difference:.1e}.\n"
        f"Output for a test image: {'finite' if parity.finite else 'NaN or infinity'}."
    )
    if not parity.passed:
        raise WeightsError(f"'{file}' failed the parity check and was not stored.")


def _say_entries(taken: Any, file: Path) -> None:
    """Print which set of weights is used, if the file holds several."""
    if taken.others:
        others = ", ".join(printable(each, 60) for each in taken.others[:8])
        click.echo(
            f"{file.name} holds several sets of weights: '{printable(taken.entry, 60)}' is used; "
            f"--entry selects another ({others})."
        )


def _export(model: str, found: Found, output: Path, options: dict[str, Any], to: str) -> None:
    if found.row is not None and found.row.origin != "zoo":
        why = (
            "whose network uses TensorFlow's padding, which PyTorch does not have"
            if to == "torch"
            else "whose weights are .h5 files and cannot be packed"
        )
        raise InvalidValueError(f"{found.row.model} is larq-zoo's, {why}.")
    if to == "torch":
        require("convert", f"Writing '{output.name}'")
    elif output.suffix != ".npz":
        raise InvalidValueError(f"Packed weights are written as .npz, not '{output.name}'.")
    given = resolve(model, options)
    from training.commands.saved_network import card_beside
    from zoo.weights.files import read_unused, write_npz
    from zoo.weights.torch_file import write
    from zoo.weights.torch_state import torch_state, unused

    path, network = given.file, given.model()
    if path is None or catalog_row(network.name) is None:
        raise InvalidValueError(f"'{model}' is not a model of `lqz list` with weights.")
    rest = unused(network, read_unused(path)) if path.suffix == ".npz" else {}
    if to == "packed":
        try:
            write_npz(network, output, rest, packed=True, card=card_beside(path))
        except OSError as error:
            raise WeightsError(f"'{output}' cannot be written: {error.strerror}.") from error
        click.echo(
            f"{output}: {output.stat().st_size:,} bytes ({path.name}: {path.stat().st_size:,})."
        )
        return
    state = torch_state(network) | rest
    write(state, output)
    click.echo(f"{output}: a state_dict of {len(state)} keys, for load_state_dict(strict=True).")
