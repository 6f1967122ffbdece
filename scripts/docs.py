"""`make docs`: brings the pages made from code up to date, then builds the book as HTML in `build/docs`, with the register exports beside it."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import sys
from pathlib import Path

import markdown

from sim.verilated.toolchain import build_root

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "docs"
BIN = Path(sys.executable).parent

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff }}
pre {{ background: #f4f4f4; padding: .8rem; overflow-x: auto; line-height: 1.25 }} code {{ font-size: 90% }}
table {{ border-collapse: collapse; display: block; overflow-x: auto }} td, th {{ border: 1px solid #ccc; padding: .2rem .6rem; text-align: left }}
@media (prefers-color-scheme: dark) {{ body {{ color: #ddd; background: #181818 }} pre {{ background: #222 }} a {{ color: #8bf }} }}
</style>
<p><a href="{home}">Meshium</a></p>
{body}
</html>
"""


def title_of(text: str) -> str:
    """The first heading of a page."""
    match = re.search(r"^# (.+)$", text, re.MULTILINE)
    return match.group(1) if match else "Meshium"


def render(text: str, *, depth: int) -> str:
    """A page of Markdown as HTML; `depth` folders below the index. Links to other pages follow them to `.html`, links to sources become plain text."""
    body = markdown.markdown(text, extensions=["tables", "fenced_code", "toc", "sane_lists"])
    body = re.sub(r'href="([^":]+)\.md(#[^"]*)?"', r'href="\1.html\2"', body)
    body = re.sub(r'<a href="(?:\.\./)+(?:hw|sw|sim|tb|tests|scripts)/[^"]*">(.*?)</a>', r"\1", body)
    return PAGE.format(title=html.escape(title_of(text)), home="../" * depth + "index.html", body=body)


def build(folder: Path) -> list[Path]:
    """Builds every page into `folder`; returns the files."""
    shutil.rmtree(folder, ignore_errors=True)
    made = []
    for page in sorted(SOURCE.rglob("*.md")):
        relative = page.relative_to(SOURCE)
        target = (folder / relative).with_suffix(".html")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(render(page.read_text(), depth=len(relative.parts) - 1))
        made.append(target)
    for other in SOURCE.rglob("*"):
        if other.is_file() and other.suffix in (".png", ".svg", ".rdl"):
            target = folder / other.relative_to(SOURCE)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(other, target)
    return made


def export_registers(folder: Path) -> None:
    """HTML, C header and IP-XACT of the registers, by PeakRDL."""
    for kind, target in (("html", "registers_html"), ("c-header", "meshium.h"), ("ip-xact", "meshium.xml")):
        command = [str(BIN / "peakrdl"), kind, str(SOURCE / "registers.rdl"), "-o", str(folder / target)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """The whole book."""
    subprocess.run([sys.executable, "-m", "scripts.gendocs"], cwd=ROOT, check=True)
    folder = build_root() / "docs"
    made = build(folder)
    export_registers(folder)
    print(f"{len(made)} pages and the registers are in {folder}; begin with {folder / 'index.html'}")


if __name__ == "__main__":
    main()
