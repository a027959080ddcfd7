"""`lqz prepare`: prepare a data set from its publisher's files."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from zoo.errors import DatasetError, UnknownNameError, printable

NAMES = ("imagenet",)
PATH = click.Path(path_type=Path)


@click.command()
@click.argument("name", metavar="imagenet")
@click.option(
    "--tars",
    type=PATH,
    required=True,
    metavar="DIR",
    help="The folder that holds the .tar files of image-net.org.",
)
@click.option(
    "-o",
    "--output",
    type=PATH,
    required=True,
    metavar="DIR",
    help="Where to write train/CLASS and validation/CLASS.",
)
@click.option("--no-hash", is_flag=True, help="Do not check the files' MD5 sums.")
def prepare(name: str, tars: Path, output: Path, no_hash: bool) -> None:
    """Write ImageNet's official .tar files as folders of images, one folder for each class.

    The files are ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar, or one of them. The same
    command continues after an interruption.
    """
    if name.casefold() not in NAMES:
        raise UnknownNameError("data set to prepare", name, NAMES)
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from training.data.imagenet_tars import TARS, check_hash, find_tars

    if not tars.is_dir():
        raise DatasetError(f"There is no folder {printable(str(tars))}.")
    found = find_tars(tars)
    for tar in TARS:
        if tar not in found:
            click.echo(f"{tar.name} is missing: no {tar.split} images are written.")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        for tar, source in () if no_hash else found.items():
            bar = progress.add_task(f"Checking {tar.name}", total=source.stat().st_size)
            check_hash(tar, source, output, partial(progress.advance, bar))
        for tar, source in found.items():
            bar = progress.add_task(f"Writing {tar.split}", total=source.stat().st_size)
            tar.write(source, output / tar.split, partial(progress.advance, bar))
            progress.update(bar, completed=source.stat().st_size)
    for split in ("train", "validation"):
        folders = [each for each in output.glob(f"{split}/n*") if each.is_dir()]
        if folders:
            images = sum(1 for folder in folders for _ in folder.iterdir())
            click.echo(f"{output / split}: {images:,} images of {len(folders):,} classes.")
    if {"train", "validation"} == {each.name for each in output.iterdir() if each.is_dir()}:
        click.echo(
            "To train on them, run lqz train ReActNet dataset=ImageFolder "
            f"dataset.data_dir={output}"
        )
