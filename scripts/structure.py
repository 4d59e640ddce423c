"""How the package is built: cycles of imports, the largest classes and files.

    python scripts/structure.py [--check] [PATH]

Imports for the type checker count, because a reader of a module follows them as well. With `--check`, it prints only
the values beyond `LIMITS`, and exits with 1 if there are any.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grimp

PACKAGE = "pgqueue"
#: kombu's channel makes its transport's messages, and its transport makes channels.
ALLOWED_CYCLE = ("pgqueue.broker.channel", "pgqueue.broker.transport")
_SHOWN = 6


@dataclass(frozen=True)
class Limits:
    """The limits of the package."""

    top_level: int = 26
    methods: int = 40
    attributes: int = 20
    lines: int = 560


LIMITS = Limits()


@dataclass(frozen=True)
class Size:
    """A class, with how many methods it has and how many attributes its objects are given."""

    name: str
    methods: int
    attributes: int


def find_cycles(root: Path) -> list[tuple[str, ...]]:
    """Return the groups of modules in which each imports each other, directly or not."""
    sys.path.insert(0, str(root))
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    return sorted((tuple(sorted(group)) for group in _strongly_connected(imports) if len(group) > 1), key=len)


def _strongly_connected(imports: dict[str, set[str]]) -> Iterator[list[str]]:
    """Yield Tarjan's strongly connected components."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []

    def visit(module: str) -> Iterator[list[str]]:
        index[module] = low[module] = len(index)
        stack.append(module)
        for imported in sorted(imports[module]):
            if imported not in index:
                yield from visit(imported)
                low[module] = min(low[module], low[imported])
            elif imported in stack:
                low[module] = min(low[module], index[imported])
        if low[module] == index[module]:
            place = stack.index(module)
            yield stack[place:]
            del stack[place:]

    for module in sorted(imports):
        if module not in index:
            yield from visit(module)


def measure_classes(root: Path) -> list[Size]:
    """Return the classes of the package, the largest first."""
    found = []
    for file in sorted((root / PACKAGE).rglob("*.py")):
        module = ".".join(file.relative_to(root).with_suffix("").parts)
        tree = ast.parse(file.read_text(encoding="utf-8"))
        found += [_measure(node, module) for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return sorted(found, key=lambda size: (-size.methods - size.attributes, size.name))


def _measure(node: ast.ClassDef, module: str) -> Size:
    methods = [each for each in node.body if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef))]
    attributes = {
        target.attr
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store)
        for target in [each]
        if isinstance(target.value, ast.Name) and target.value.id == "self"
    }
    return Size(f"{module}.{node.name}", len(methods), len(attributes))


def measure_files(root: Path, ending: str) -> list[tuple[int, str]]:
    """Return the files of the package with that ending and how many lines each has, the longest first."""
    files = sorted((root / PACKAGE).rglob(f"*{ending}"))
    sizes = [(len(file.read_text(encoding="utf-8").splitlines()), str(file.relative_to(root))) for file in files]
    return sorted(sizes, key=lambda size: (-size[0], size[1]))


def find_top_level(root: Path) -> tuple[list[str], list[str]]:
    """Return the modules and the packages that stand directly in the package."""
    place = root / PACKAGE
    return (
        sorted(file.name for file in place.glob("*.py")),
        sorted(folder.name for folder in place.iterdir() if (folder / "__init__.py").exists()),
    )


def describe(root: Path) -> Iterator[str]:
    """Yield the lines of the whole picture."""
    cycles = find_cycles(root)
    yield f"import cycles, imports for the type checker counted: {len(cycles)}"
    yield f"    (one is allowed: {', '.join(ALLOWED_CYCLE)})"
    yield from (f"    {len(cycle)} modules: {', '.join(cycle)}" for cycle in cycles)
    modules, packages = find_top_level(root)
    yield f"top level of the package: {len(modules)} modules, {len(packages)} packages"
    yield "the largest classes (methods, attributes):"
    yield from (f"    {size.methods:3} {size.attributes:3}  {size.name}" for size in measure_classes(root)[:_SHOWN])
    long = [size for size in measure_files(root, ".py") if size[0] > 300]
    yield f"modules over 300 lines: {len(long)}"
    yield from (f"    {lines:5}  {name}" for lines, name in long)
    yield "the largest SQL file:"
    yield from (f"    {lines:5}  {name}" for lines, name in measure_files(root, ".sql")[:1])


def find_faults(root: Path) -> Iterator[str]:
    """Yield what is beyond the limits."""
    cycles = find_cycles(root)
    yield from (f"a cycle of imports: {', '.join(cycle)}" for cycle in cycles if cycle != ALLOWED_CYCLE)
    modules, packages = find_top_level(root)
    if len(modules) + len(packages) > LIMITS.top_level:
        yield f"{len(modules) + len(packages)} modules and packages at the top level, of {LIMITS.top_level} at most"
    for size in measure_classes(root):
        if size.methods > LIMITS.methods or size.attributes > LIMITS.attributes:
            yield f"{size.name} has {size.methods} methods and {size.attributes} attributes"
    yield from (f"{name} has {n} lines" for n, name in measure_files(root, ".py") if n > LIMITS.lines)


def main(arguments: list[str]) -> int:
    """Print what was asked for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", nargs="?", type=Path, default=Path(__file__).parents[1], help="where the package is")
    parser.add_argument("--check", action="store_true", help="only hold it to the limits")
    options = parser.parse_args(arguments)
    lines = list(find_faults(options.root) if options.check else describe(options.root))
    print(*lines, sep="\n", end="\n" if lines else "")
    return int(options.check and bool(lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
