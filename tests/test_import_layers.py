"""The order of imports: no cycle, no import of a higher layer, no private module from outside."""

import ast
import re
from pathlib import Path

import pytest

from tools.import_layers import PACKAGES, ROOT, TRAINING, faults, main, module_graph, modules

DOCUMENT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_the_order_holds(capsys):
    assert main() == 0, capsys.readouterr().out
    printed = capsys.readouterr().out
    assert re.search(r"^  1  loop +\d+ modules +data, settings, terminal$", printed, re.MULTILINE)


def tree(root: Path, **files: str) -> Path:
    """Write packages with `files`; in their names, __ stands for a slash."""
    for package in PACKAGES:
        (root / package).mkdir()
        (root / package / "__init__.py").touch()
    for name, text in files.items():
        path = root / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (
            {
                "training__loop__run": "def f():\n    from training.recipes.one import Recipe\n",
                "training__recipes__one": "",
            },
            "training.loop.run imports training.recipes.one, which is beside or above it.",
        ),
        (
            {
                "training__portable__write": "from training.recipes import one\n",
                "training__recipes__one": "",
            },
            "training.portable.write imports training.recipes.one, which is beside or above it.",
        ),
        (
            {"zoo__a": "import zoo.b\n", "zoo__b": "from zoo import c\n", "zoo__c": "import zoo.a"},
            "They import each other: zoo.a, zoo.b, zoo.c.",
        ),
        (
            {
                "zoo__deploy__c": "from zoo.weights import load\n",
                "zoo__weights__load": "",
                "zoo__weights__write": "import zoo.deploy.graph\n",
                "zoo__deploy__graph": "",
            },
            "These rooms import each other: zoo.deploy, zoo.weights.",
        ),
        (
            {"training__data__a": "from zoo.models._shared import x\n", "zoo__models___shared": ""},
            "training.data.a imports zoo.models._shared, which is private to its folder.",
        ),
        (
            {"zoo__a": "from training.data import b\n", "training__data__b": ""},
            "zoo.a imports training.data.b: zoo must not import training.",
        ),
        (
            {"training__new": "import training.loop.x\n", "training__loop__x": ""},
            "training.new is missing in the order.",
        ),
    ],
)
def test_what_breaks_it_is_named(files, says, tmp_path):
    assert says in faults(module_graph(tree(tmp_path, **files)))


def test_the_architecture_names_every_folder_and_module_beside_them():
    places = set()
    for path in modules().values():
        package, *rest = path.relative_to(ROOT).parts
        if package in ("zoo", "training") and rest[-1] not in ("__init__.py", "__main__.py"):
            places.add("/".join([package, *rest[:-1], ""]) if rest[1:] else f"{package}/{rest[0]}")
    missing = [place for place in places if f"`{place}`" not in DOCUMENT]
    assert not missing, "docs/architecture.md does not name them"
    for named in re.findall(
        r"`((?:zoo|training|tools|benchmarks|docs|results)/[\w/.*]*)`", DOCUMENT
    ):
        assert any(ROOT.glob(named)), named
    assert {name for row in TRAINING[:-1] for name in row} <= set(re.findall(r"\w+", DOCUMENT))


def test_its_picture_names_what_there_is():
    picture = (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8")
    for named in re.findall(
        r'font-weight="bold">((?:commands|settings|recipes|loop|data)/[^<]*)<', picture
    ):
        assert any((ROOT / "training").glob(named.replace("PAPER", "reactnet"))), named


def test_unmaintained_packages_have_one_door_each():
    """larq, larq-zoo and zookeeper are imported in zoo/adapters, and nowhere else."""
    found = set()
    for path in modules().values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for name in names:
                if name.partition(".")[0] in ("larq", "larq_zoo", "zookeeper"):
                    found.add((str(path.relative_to(ROOT)), name.partition(".")[0]))
    assert found == {
        ("zoo/adapters/larq.py", "larq"),
        ("zoo/adapters/larq_zoo.py", "larq_zoo"),
        ("zoo/adapters/zookeeper.py", "zookeeper"),
        ("zoo/adapters/zookeeper_tf.py", "zookeeper"),
    }
