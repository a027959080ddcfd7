"""Errors do not show a setting as if the user had given it."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
# The defaults of these settings are always valid, so a message is about a value from the user.
GIVEN = {"accumulate", "classes", "pad_values", "width"}


def messages():
    """Return every error message that begins with NAME={...}, with its place."""
    for path in sorted([*(ROOT / "zoo").rglob("*.py"), *(ROOT / "training").rglob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and re.search(r"Error$", ast.unparse(node.func)):
                for part in node.args:
                    if isinstance(part, ast.JoinedStr):
                        text = "".join(
                            each.value if isinstance(each, ast.Constant) else "{}"
                            for each in part.values
                        )
                        if found := re.match(r"([\w.]+)=\{\}", text):
                            yield f"{path.name}:{node.lineno}", found[1], text


def test_a_default_is_not_shown_as_a_setting():
    """A message about a range may show NAME=VALUE; all other messages name the value in words."""
    wrong = [
        (place, text)
        for place, name, text in messages()
        if name not in GIVEN and not re.search(r"must (be|lie)", text)
    ]
    assert not wrong
    assert sum(1 for _ in messages()) > 5  # the search finds some
