"""The rooms of the program: imports run downwards only."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.helpers import ROOT

LAYERS = ("settings", "db", "queries", "services", "web", "routes", "app", "serve cli")
LEVELS = {name: level for level, names in enumerate(LAYERS) for name in names.split()}


def modules() -> list[Path]:
    """Return the program's own files: those at the top and those of each layer's folder."""
    return [*ROOT.glob("*.py"), *(file for name in LEVELS for file in ROOT.glob(f"{name}/*.py"))]


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_module_belongs_to_a_layer() -> None:
    assert {name_of(file).partition(".")[0] for file in modules()} == set(LEVELS)


def test_imports_run_downwards_only() -> None:
    upwards = [
        (name_of(file), imported)
        for file in modules()
        for imported in imports(file)
        if LEVELS.get(imported.partition(".")[0], -1) > LEVELS[name_of(file).partition(".")[0]]
    ]
    assert upwards == []


def test_no_module_imports_itself_by_a_detour() -> None:
    known = {name_of(file) for file in modules()}
    graph = {
        name_of(file): {
            part for name in imports(file) for part in (name, name.rpartition(".")[0]) if part in known
        }
        for file in modules()
    }
    left = dict(graph)
    while leaves := {name for name, targets in left.items() if not targets & left.keys()}:
        left = {name: targets for name, targets in left.items() if name not in leaves}
    assert left == {}


def test_docstrings_begin_with_a_short_line() -> None:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    first_lines = [
        (name_of(file), (ast.get_docstring(node) or "").partition("\n")[0])
        for file in modules()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, documented)
    ]
    assert [line for line in first_lines if len(line[1]) >= 60] == []
