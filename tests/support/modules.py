"""Modules as files: what each one imports."""

import ast
from pathlib import Path


def imported(path: Path) -> set[str]:
    """Names of all modules that a file imports, at its top or anywhere else, and of what it takes from them."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names
