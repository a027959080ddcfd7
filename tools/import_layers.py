"""Find the layers of the code from its imports; check that no module imports a higher layer.

Rooms are the folders of `training/` and `zoo/`, and the modules beside these folders. All imports
count, also those inside functions and those only for types. This prints each room on its level,
with the rooms that it imports; then the faults in the order, with exit code 1.

Run from the repository root: python -m tools.import_layers
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("zoo", "training", "tools", "benchmarks")
Graph = Mapping[str, frozenset[str]]

# A room of `training/` may import rooms in the lines above its own line, not in the same line.
TRAINING = (
    ("data", "settings", "terminal"),
    ("loop",),
    ("portable", "recipes"),
    ("commands",),
    ("cli",),
    ("__main__",),
)
# The packages that each package may import.
ALLOWED = {
    "zoo": {"zoo"},
    "training": {"training", "zoo"},
    "tools": {"tools", "training", "zoo"},
    "benchmarks": {"benchmarks", "tools", "training", "zoo"},
}


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Return the modules by dotted name; a package's name stands for its `__init__`."""
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            name = ".".join(path.relative_to(root).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


def imports(path: Path, known: Iterable[str]) -> frozenset[str]:
    """Return the modules of `known` that a file imports, anywhere in it."""
    known = set(known)
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in known else node.module)
    return frozenset(found & known)


def module_graph(root: Path = ROOT) -> dict[str, frozenset[str]]:
    """Return the other modules that each module imports."""
    paths = modules(root)
    return {name: imports(path, paths) - {name} for name, path in paths.items()}


def room(module: str) -> str:
    """Return a module's folder, or the module itself: `training.loop`, `zoo.layers`."""
    return ".".join(module.split(".")[:2])


def rooms(graph: Graph) -> dict[str, frozenset[str]]:
    """Return the other rooms that the modules of each room import."""
    found: dict[str, set[str]] = {room(module): set() for module in graph}
    for module, imported in graph.items():
        found[room(module)] |= {room(each) for each in imported} - {room(module)}
    return {name: frozenset(others) for name, others in found.items()}


def circles(graph: Graph) -> list[list[str]]:
    """Return the groups of modules that import each other, directly or indirectly (Tarjan)."""
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    found = []

    def visit(name: str) -> None:
        numbers[name] = lowest[name] = len(numbers)
        path.append(name)
        for other in sorted(graph.get(name, ())):
            if other not in numbers:
                visit(other)
            if other in path:
                lowest[name] = min(lowest[name], lowest[other])
        if lowest[name] == numbers[name]:
            group = path[path.index(name) :]
            del path[path.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in sorted(graph):
        if name not in numbers:
            visit(name)
    return found


def levels(graph: Graph) -> dict[str, int]:
    """Return the level of each module or room: one above the highest that it imports, else 0.

    Raises:
        ValueError: some of them import each other.
    """
    if found := circles(graph):
        raise ValueError(f"They import each other: {'; '.join(map(', '.join, found))}.")
    known: dict[str, int] = {}

    def level(name: str) -> int:
        if name not in known:
            known[name] = 1 + max((level(other) for other in graph[name]), default=-1)
        return known[name]

    return {name: level(name) for name in graph}


def is_private(module: str, importer: str) -> bool:
    """Return whether `module` is private (a leading `_`) in another folder than `importer`'s."""
    parts = module.split(".")
    for index, part in enumerate(parts):
        if part.startswith("_") and not part.startswith("__"):
            return not importer.startswith(".".join(parts[:index]))
    return False


def faults(graph: Graph) -> list[str]:
    """Return the faults in the order of imports, one sentence each."""
    found = [f"They import each other: {', '.join(group)}." for group in circles(graph)]
    found += [f"These rooms import each other: {', '.join(g)}." for g in circles(rooms(graph))]
    line = {f"training.{name}": number for number, row in enumerate(TRAINING) for name in row}
    for module, imported in sorted(graph.items()):
        for other in sorted(imported):
            here, there = module.partition(".")[0], other.partition(".")[0]
            if there not in ALLOWED[here]:
                found.append(f"{module} imports {other}: {here} must not import {there}.")
            if is_private(other, module):
                found.append(f"{module} imports {other}, which is private to its folder.")
            if here == there == "training" and room(module) != room(other) != "training":
                if room(module) not in line:
                    found.append(f"{module} is missing in the order.")
                elif room(other) in line and line[room(other)] >= line[room(module)]:
                    found.append(f"{module} imports {other}, which is beside or above it.")
    return sorted(set(found))


def main() -> int:
    graph = module_graph()
    found = faults(graph)
    for package in ("zoo", "training"):
        own = {
            name: frozenset(other for other in others if other.startswith(f"{package}."))
            for name, others in rooms(graph).items()
            if name.startswith(f"{package}.")
        }
        print(f"{package}/")
        place = {} if circles(own) else levels(own)
        for name in sorted(own, key=lambda name: (place.get(name, 0), name)):
            count = sum(room(module) == name for module in graph)
            others = ", ".join(other.partition(".")[2] for other in sorted(own[name]))
            size = f"{count} module{'s' if count > 1 else ''}"
            print(f"  {place.get(name, '?')}  {name.partition('.')[2]:14} {size:11}  {others}")
    print(f"{len(graph)} modules, {len(found)} faults.")
    for fault in found:
        print(f"  {fault}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
