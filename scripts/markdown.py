"""Pieces of generated Markdown pages."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Sequence


def notice(source: str) -> str:
    """The comment that tells a reader of the page's text where to edit it."""
    return f"<!-- Made by `make docs` from {source}: edit that, not this page. -->\n"


def table(header: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> str:
    """A table; vertical bars in cells are escaped, line breaks become spaces."""

    def cell(value: object) -> str:
        return str(value).replace("|", "\\|").replace("\n", " ")

    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def member_docs(enum: type) -> dict[str, str]:
    """The string below each member of an enum, which Python keeps only in the source."""
    body = ast.parse(inspect.getsource(enum)).body[0]
    assert isinstance(body, ast.ClassDef)
    result = {}
    for item, after in zip(body.body, body.body[1:], strict=False):
        if isinstance(item, ast.Assign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            assert isinstance(item.targets[0], ast.Name)
            result[item.targets[0].id] = " ".join(str(after.value.value).split())
    return result
