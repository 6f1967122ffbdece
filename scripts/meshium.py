"""The `meshium` command. Exit status: 0 only when the result was checked and right, 1 for a wrong result or an error, 2 for bad usage."""

from __future__ import annotations

import importlib
import subprocess
import sys

import click

from hw.common.config import ConfigError
from sw.runtime.errors import DeviceError

from .console import fail

#: Subcommands: name -> (module, attribute, help). Imported only when asked for, so that `meshium --help` is quick and nothing that one command
#: needs is in the way of another.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "matmul": ("scripts.cmd_matmul", "matmul", "One matrix product, checked."),
    "run": ("scripts.cmd_run", "run", "A named end-to-end job, checked."),
    "bench": ("scripts.cmd_bench", "bench", "Every measured figure beside its limit."),
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


@click.group(cls=LazyGroup)
def cli() -> None:
    """Meshium: run matrix products and networks on a simulated chip."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; every expected error is one line on standard error."""
    try:
        outcome = cli.main(args=arguments, prog_name="meshium", standalone_mode=False)
        return outcome if isinstance(outcome, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        return 2
    except click.ClickException as error:
        fail(error.format_message())
        return 2
    except (click.Abort, KeyboardInterrupt):
        fail("interrupted")
        return 130
    except ImportError as error:
        fail(f"{error}: run `make setup` to install what is missing")
        return 1
    except (ConfigError, DeviceError, ValueError, OSError, MemoryError) as error:
        fail(str(error) or type(error).__name__)
        return 1
    except (RuntimeError, subprocess.CalledProcessError) as error:
        fail(f"{type(error).__name__}: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
