"""The `meshium` command. Exit status: 0 only when the result was checked and right, 1 for a wrong result or an error, 2 for bad usage."""

from __future__ import annotations

import errno
import importlib
import os
import subprocess
import sys
import warnings
from contextlib import suppress

import click

from hw.common.config import ConfigError
from sw.runtime.errors import DeviceError

from .console import fail, interruptible, print_json

#: Subcommands: name -> (module, attribute, help). Imported only when asked for, so that `meshium --help` is quick and nothing that one command
#: needs is in the way of another.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "matmul": ("scripts.cmd_matmul", "matmul", "One matrix product, checked."),
    "run": ("scripts.cmd_run", "run", "A named end-to-end job, checked."),
    "noc": ("scripts.cmd_noc", "noc", "Traffic on a mesh of routers, checked."),
    "bench": ("scripts.cmd_bench", "bench", "Every measured figure beside its limit."),
    "synth": ("scripts.cmd_synth", "synth", "Area and clock of units, out of context."),
    "bitstream": ("scripts.cmd_bitstream", "bitstream", "Bitstreams of boards, their clocks met."),
    "program": ("scripts.cmd_program", "program", "Loads a bitstream into a board."),
    "simboard": ("scripts.cmd_board", "simboard", "A simulated board behind a pseudo-terminal."),
    "bringup": ("scripts.cmd_bringup", "bringup", "The ladder a lab walks with a new board."),
    "analyse": ("scripts.cmd_analyse", "analyse", "Captures signals inside a board into a waveform."),
    "doctor": ("scripts.doctor", "doctor", "Names what this machine lacks."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The help of the table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Meshium: run matrix products and networks on a simulated chip."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line. Every expected error is one line on standard error and, with --json, an object with `ok` and `error`."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        with interruptible():
            outcome = cli.main(args=given, prog_name="meshium", standalone_mode=False)
        return outcome if isinstance(outcome, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        return 2
    except BrokenPipeError:
        # Whoever read our output has gone; nothing may be flushed to it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except BaseException as error:
        status, message = explain(error)
        if status is None:
            raise
        # Hardware that was being elaborated when we were stopped complains as it goes that nobody used it.
        warnings.simplefilter("ignore")
        fail(message)
        if "--json" in given:
            # Standard output may be what failed.
            with suppress(OSError):
                print_json({"ok": False, "error": " ".join(message.split())})
        return status


def explain(error: BaseException) -> tuple[int | None, str]:
    """Exit status and message of an expected error; None for a defect of the program, which deserves its traceback."""
    if isinstance(error, click.ClickException):
        return 2, error.format_message()
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        return 130, "interrupted"
    if isinstance(error, ImportError):
        return 1, f"{error}: run `make setup` to install what is missing"
    if isinstance(error, MemoryError):
        return 1, f"not enough memory on this machine: {error}; use smaller sizes"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return 1, f"{error}: make room; most is written into the folder `build`, which the variable MESHIUM_BUILD moves to another disk"
    if isinstance(error, (ConfigError, DeviceError, ValueError, OSError)):
        return 1, str(error) or type(error).__name__
    if isinstance(error, (RuntimeError, subprocess.CalledProcessError)):
        return 1, f"{type(error).__name__}: {error}"
    return None, ""


if __name__ == "__main__":
    sys.exit(main())
