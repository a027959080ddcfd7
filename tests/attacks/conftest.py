"""Fixtures of all attacks: a tiny folder of images, the real command, and the count at the end.

Each test is one attack on the real command in real processes. It holds if the run ends equal to an
undisturbed one, or with one sentence and exit code 2: never a traceback, never a silent difference.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.command import CLASSES, IMAGES, LIMIT, Command, picture

# --- the count ------------------------------------------------------------------------------------

outcomes: dict[str, str] = {}


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.attacks)
            item.add_marker(pytest.mark.timeout(2 * LIMIT))


def pytest_runtest_logreport(report):
    if "attacks" in report.keywords and (report.when == "call" or not report.passed):
        outcomes[report.nodeid] = report.outcome


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    if not outcomes or hasattr(config, "workerinput"):
        return
    counts = {kind: list(outcomes.values()).count(kind) for kind in ("passed", "failed", "skipped")}
    tried = counts["passed"] + counts["failed"]
    print(f"attacks: {tried} tried, {counts['passed']} held, {counts['skipped']} not possible here")


@pytest.fixture
def lqz(tmp_path, photos) -> Iterator[Command]:
    """The command, in an empty folder with a copy of the images in `photos`."""
    shutil.copytree(photos, tmp_path / "photos")
    command = Command(tmp_path)
    yield command
    command.stop_all()


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    """A folder of class folders with real files."""
    root = tmp_path_factory.mktemp("attacked") / "photos"
    for split, count in IMAGES.items():
        for label, name in enumerate(CLASSES):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                picture(label, number + 1000 * (split == "val")).save(folder / f"{number}.png")
    return root


@pytest.fixture(scope="session")
def undisturbed(photos, tmp_path_factory) -> Path:
    """The directory of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "photos").symlink_to(photos)
    Command(folder).train().held()
    return folder / "run"
