"""How the type of a field determines the value of a text from the command line."""

import os
from pathlib import Path
from typing import Literal, Optional, Union

import pytest

from training.settings.field_types import Text, convert


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("2024_11_27", Path | None, Path("2024_11_27")),
        ("2024_11_27", Optional[Union[str, os.PathLike]], Path("2024_11_27")),
        ("None", Optional[Union[str, os.PathLike]], None),
        ("'None'", str | None, "None"),
        ("'3'", str, "3"),
        ('"a b"', Path, Path("a b")),
        ("it's", str, "it's"),
        ("1_000", int, 1000),
        ("1_000", int | str, "1_000"),
        ("1000", int | str, 1000),
        ("0x10", float | None, 16.0),
        ("true", bool, True),
        ("TRUE", bool | None, True),
        ("True", bool | str, True),
        ("a", Literal["a", 1], "a"),
        ("1", Literal["a", 1], 1),
        ("(8,8)", tuple[int, int], (8, 8)),
        ("[[1, 2], [3]]", list[list[int]], [[1, 2], [3]]),
        ("[007, 0x2]", list[str], ["007", "0x2"]),
        ("('a,b', \"c]\",)", list[str], ["a,b", "c]"]),
        ("()", list[int], []),
        ("[/tmp/a, /tmp/b]", list[Path], [Path("/tmp/a"), Path("/tmp/b")]),
    ],
)
def test_the_fields_type_says_what_a_text_means(text, annotation, value):
    found = convert(Text(text), annotation)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "annotation"),
    [
        ("x", int),
        ("1.5", int),
        ("'1'", int),
        ("1", bool),
        ("b", Literal["a"]),
        ("3", list[int]),
        ("(3)", list[int]),
        ("[1", list[int]),
    ],
)
def test_a_text_that_means_nothing_in_a_field(text, annotation):
    with pytest.raises(TypeError):
        convert(Text(text), annotation)
