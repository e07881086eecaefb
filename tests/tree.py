"""The checkout as the house tests see it: its text files, and its source parsed once."""

import ast
import functools
import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "a3mailer"
# what a build or a run leaves behind (.gitignore names the same); a checkout need not be a git repository
LEFT_BEHIND = {"__pycache__", "build", "dist", "node_modules", "var"}
TEXT = {
    ".py",
    ".md",
    ".toml",
    ".tsv",
    ".in",
    ".lock",
    ".sql",
    ".service",
    ".socket",
    ".transcript",
    ".eml",
    ".yml",
}


@functools.cache
def text_files() -> tuple[pathlib.Path, ...]:
    """Every text file of the checkout, commands without an ending included."""
    found = []
    for folder, folders, files in os.walk(ROOT):
        here = pathlib.Path(folder)
        folders[:] = [f for f in folders if f not in LEFT_BEHIND and (not f.startswith(".") or f == ".ci")]
        folders[:] = [f for f in folders if not (here / f).is_symlink()]
        found += [
            here / f for f in files if pathlib.Path(f).suffix in TEXT or here.name == ".ci" or f == "run"
        ]
    return tuple(sorted(found))


@functools.cache
def modules() -> dict[pathlib.Path, ast.Module]:
    """Every module of the package, by its path below src/a3mailer."""
    return {p.relative_to(SOURCE): ast.parse(p.read_bytes(), str(p)) for p in sorted(SOURCE.rglob("*.py"))}


def imported(module: ast.Module) -> set[str]:
    """The names a module imports, ``from a import b`` as both ``a`` and ``a.b``."""
    names: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names
