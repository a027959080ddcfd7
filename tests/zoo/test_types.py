"""What editors and type checkers see: the stub has the models' signatures and docstrings.

mypy checks `typed_example.py` in `make lint`.
"""

import inspect

import jedi
import pytest

import zoo
from tools.write_stub import STUB, stub

OURS = zoo.list_models(origin="zoo")


def test_stub_is_what_the_models_say():
    assert STUB.read_text(encoding="utf-8") == stub(), "run python -m tools.write_stub"


def test_an_editor_completes_models():
    completed = jedi.Script("import zoo\nzoo.").complete(2, 4)
    names = {each.name for each in completed}
    assert set(OURS) <= names
    assert {"features", "get_model", "profile", "layers", "__version__"} <= names


@pytest.mark.parametrize("name", ["ReActNetA", "XNORNetPlusPlusResNet20"])
def test_an_editor_shows_a_models_arguments_and_text(name):
    [signature] = jedi.Script(f"import zoo\nzoo.{name}(").get_signatures(2, len(f"zoo.{name}("))
    arguments = list(inspect.signature(getattr(zoo, name)).parameters)
    assert [each.name for each in signature.params if each.name != "*"] == arguments
    assert signature.docstring().endswith("weights that cannot be found.")


def test_an_editor_knows_what_a_model_is():
    code = "import zoo\nmodel = zoo.ReActNetA(weights=None)\nmodel."
    assert {"fit", "predict", "summary"} <= {each.name for each in jedi.Script(code).complete(3, 6)}
