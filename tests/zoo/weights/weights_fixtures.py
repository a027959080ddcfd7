"""Fixtures of tests of weight files: a file server and a writable registry."""

import json

import pytest
from server import Server, tree

from zoo import catalog
from zoo.pretrained import download, http, records


@pytest.fixture
def server(monkeypatch):
    """A server on the loopback address; connections are allowed, and time limits are short."""
    monkeypatch.delenv("ZOO_OFFLINE")
    patience = http.Patience(connect=30, read=30, tries=3, pause=0.05)
    monkeypatch.setattr(download, "PATIENCE", patience)
    server = Server()
    yield server
    server.close()


@pytest.fixture
def register(tmp_path, monkeypatch, home):
    """Change a record of the registry, or add one."""

    def register(model, name, **changes):
        data = json.loads(records.RECORDS.read_text(encoding="utf-8"))
        (found,) = [r for r in data["sets"] if (r["model"], r["name"]) == (model, name)] or [{}]
        if not found:
            dataset = catalog.row(model).dataset
            found |= {
                "model": model,
                "name": name,
                "dataset": dataset,
                "origin": "authors",
                "licence": "none stated",
                "access": "downloadable",
                "format": "npz",
                "preprocessing": dataset,
                "classes": dataset,
                "where": "the authors' README",
            }
            data["sets"].append(found)
        found |= changes
        path = tmp_path / "records.json"
        path.write_text(json.dumps(data), encoding="utf-8")
        monkeypatch.setattr(records, "RECORDS", path)
        records.forget()
        return records.find_record(model, name)

    yield register
    monkeypatch.undo()
    records.forget()


@pytest.fixture
def unchanged(home):
    """Check at the end that the cache is unchanged since this was called, or that it is empty."""
    before = {}

    def note():
        before.update(tree(home))

    yield note
    assert tree(home) == before


@pytest.fixture
def mirror(tmp_path, monkeypatch, register):
    """A folder as mirror of a set of RealResNet20 with manual download."""
    register("RealResNet20", "cifar10", access="manual download")
    (tmp_path / "mirror" / "RealResNet20").mkdir(parents=True)
    monkeypatch.setenv("ZOO_WEIGHTS_MIRROR", str(tmp_path / "mirror"))
    return tmp_path / "mirror"
