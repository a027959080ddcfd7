"""Write `zoo/__init__.pyi`, the package's stub for type checkers and editors, from the models.

python -m tools.write_stub
"""

from __future__ import annotations

import inspect
import textwrap
import types
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import zoo
from zoo import catalog

STUB = Path(catalog.__file__).with_name("__init__.pyi")
# Arguments for which the function accepts more types than the field of its factory.
TYPES = {"weights": str | PathLike[str] | None}
HEAD = '''"""Binary neural networks for Keras. `python -m tools.write_stub` wrote this."""

from os import PathLike
from typing import Any, Literal

from tf_keras import Model

'''


def written(annotation: Any) -> str:
    """Return a type as text for the stub."""
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation in (None, type(None)):
        return "None"
    if annotation is Any:
        return "Any"
    if origin in (Union, types.UnionType):
        # A union with Any is an object of Keras or None.
        return " | ".join(dict.fromkeys(map(written, args)))
    if origin is Literal:
        return f"Literal[{', '.join(_quoted(each) for each in args)}]"
    name = annotation.__name__ if isinstance(annotation, type) else str(origin or annotation)
    name = (origin or annotation).__name__ if hasattr(origin or annotation, "__name__") else name
    return f"{name}[{', '.join(map(written, args))}]" if args else name


def _quoted(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def stub() -> str:
    """Return the text of the stub."""
    return HEAD + "\n".join([*_imports(), "", "__version__: str", *_models()]) + "\n"


def _imports() -> Iterator[str]:
    modules = {name: "zoo" for name in ("catalog", *vars(zoo)["_MODULES"])}
    origins = {each.__name__: each.__module__ for each in vars(zoo)["_FUNCTIONS"]}
    by_module: dict[str, list[str]] = {}
    for name, module in (modules | origins).items():
        by_module.setdefault(module, []).append(name)
    for module in sorted(by_module):
        for name in sorted(by_module[module]):
            yield f"from {module} import {name} as {name}"


def _models() -> Iterator[str]:
    for row in catalog.rows(origin="zoo"):
        function = getattr(zoo, row.model)
        yield ""
        yield f"def {row.model}("
        yield "    *,"
        for each in inspect.signature(function).parameters.values():
            kind = written(TYPES.get(each.name, each.annotation))
            yield f"    {each.name}: {kind} = {_quoted(each.default)},"
        yield ") -> Model:"
        text = f'"""{inspect.getdoc(function)}\n"""'
        lines = [
            part
            for line in text.splitlines()
            for part in (textwrap.wrap(line, 96, subsequent_indent=" " * 8) or [""])
        ]
        yield from (f"    {line}".rstrip() for line in lines)


if __name__ == "__main__":
    STUB.write_text(stub(), encoding="utf-8")
