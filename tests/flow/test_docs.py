"""Documents: the tests the plan names exist and the plan names everything registered, links lead somewhere, the book builds."""

from __future__ import annotations

import ast
import fnmatch
import re
from pathlib import Path

import pytest

from scripts.docs import build, render
from tb.formal.runner import proofs
from tb.registry import benches

ROOT = Path(__file__).resolve().parents[2]
PLAN = (ROOT / "docs/verification.md").read_text()
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CHANGELOG.md"]


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(tests/[\w/]+\.py::\w+)`", PLAN))))
def test_planned_test_exists(name: str) -> None:
    file, function = name.split("::")
    tree = ast.parse((ROOT / file).read_text())
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{file} has no {function}"


@pytest.mark.parametrize(("kind", "registered"), [("TB", list(benches())), ("PROOF", list(proofs()))], ids=["testbenches", "proofs"])
def test_plan_names_everything_registered_and_nothing_else(kind: str, registered: list[str]) -> None:
    planned = re.findall(rf"`{kind}=([\w.*]+)`", PLAN.split("| feature |", 1)[1])
    assert planned
    for name in registered:
        assert any(fnmatch.fnmatchcase(name, pattern) for pattern in planned), f"the plan lacks {kind}={name}"
    for pattern in planned:
        assert fnmatch.filter(registered, pattern), f"the plan names {kind}={pattern}, which matches nothing"


def test_every_feature_of_the_plan_has_a_test() -> None:
    rows = [
        row
        for row in PLAN.split("## Features", 1)[1].splitlines()
        if row.startswith("| ") and not row.startswith(("| feature", "| ---", "| **"))
    ]
    assert len(rows) > 20
    for row in rows:
        assert "`" in row.split("|")[2], row


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_a_page_names_exist(page: Path) -> None:
    """Paths in code type that begin with a folder of ours; `<name>` and `*` stand for something."""
    for name in re.findall(r"`((?:hw|sw|sim|tb|tests|scripts|docs)/[\w/.]+)`", page.read_text()):
        assert (ROOT / name).exists(), f"{page.name} names {name}"


def test_make_targets_a_page_names_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for name in re.findall(r"`make ([a-z-]+)", page.read_text()):
            assert name in targets, f"{page.name} names make {name}"


def test_every_page_is_listed_once() -> None:
    listed = re.findall(r"\]\(([\w/]+\.md)\)", (ROOT / "docs" / "index.md").read_text())
    pages = [str(page.relative_to(ROOT / "docs")) for page in sorted((ROOT / "docs").rglob("*.md")) if page.name != "index.md"]
    assert sorted(listed) == sorted(pages)


def test_book_builds(tmp_path: Path) -> None:
    made = build(tmp_path)
    assert tmp_path / "howto" / "testbench.html" in made
    for page in made:
        for target in re.findall(r'href="(?!https?:|#)([^"#]+\.html)', page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_links_are_rewritten() -> None:
    text = render("# A & B\n\n[x](y.md#z) [code](../hw/a.py) [out](https://e.org/a.md)", depth=1)
    assert "<title>A &amp; B</title>" in text
    assert 'href="y.html#z"' in text
    assert ">code<" not in text
    assert 'href="https://e.org/a.md"' in text
    assert 'href="../index.html"' in text
