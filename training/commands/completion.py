"""Shell completion of names. Importing this imports no TensorFlow."""

from __future__ import annotations

import os

import click
from click.shell_completion import CompletionItem


def models(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Return the catalog's models that begin like `begun`, in any case; without any, files."""
    from zoo import catalog

    names = [] if os.sep in begun else [row.model for row in catalog.rows()]
    return _beginning(names, begun) or [CompletionItem(begun, type="file")]


def tasks(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Return the recipes of `lqz train` that begin like `begun`."""
    from training.settings.discovery import recipe_tasks

    return _beginning([task.name for task in recipe_tasks()], begun)


def _beginning(names: list[str], begun: str) -> list[CompletionItem]:
    return [CompletionItem(each) for each in names if each.casefold().startswith(begun.casefold())]
