"""The app `ev-marl`: which commands there are, and what becomes of their errors.

A command is a file in this folder: its docstring is the help, its function `command` has the options as parameters,
and its `EXAMPLES` follow the help. The file is loaded when its command runs or is asked for its own help; until then
only its docstring is read. What the command works with, it imports inside the function. So help, completion and errors
of usage come at once.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from ev_marl.rl.restart import restart_reproducibly
from ev_marl.support.errors import EvMarlError
from ev_marl.support.package import __version__

COMMANDS = {
    "": ("check", "describe", "schema", "list", "new", "solve", "compare", "tune", "train", "study", "reproduce"),
    "track": ("sample", "import", "split", "show"),
    "fit": ("sessions",),
    "grid": ("describe", "year", "unbalanced", "agreement"),
}
_FILES = {"list": "list_", "import": "import_"}  # words that Python has taken


def _examples(lines: Iterable[str]) -> str:
    return "Examples:\n\n" + "\n\n".join(f"  $ {line}" for line in lines)


class _Unloaded(TyperCommand):
    """A command of which only the help is known, until it is called.

    Parameters
    ----------
    group : str
        Its group, or "".
    name : str
        What the user types.
    """

    def __init__(self, group: str, name: str) -> None:
        path = (*filter(None, [group]), _FILES.get(name, name))
        source = Path(__file__).parent.joinpath(*path).with_suffix(".py").read_text(encoding="utf-8")
        super().__init__(name, help=ast.get_docstring(ast.parse(source)))
        self._module = ".".join((str(__package__), *path))

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Load the command, and let it read its arguments."""
        module = importlib.import_module(self._module)
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        app.command(self.name, help=self.help, epilog=_examples(module.EXAMPLES))(module.command)
        return typer.main.get_command(app).make_context(info_name, args, parent, **extra)


class _Group(TyperGroup):
    """Commands of `COMMANDS`; errors that a user can cause become a message and exit code 1."""

    def __init__(self, *, name: str = "", commands: dict[str, Any], **settings: Any) -> None:
        unloaded = {command: _Unloaded(name, command) for command in COMMANDS[name]}
        super().__init__(name=name, commands={**unloaded, **commands}, **settings)

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except EvMarlError as error:
            print(f"ev-marl: {error}", file=sys.stderr)
            raise typer.Exit(1) from error
        except OSError as error:
            reason = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
            print(f"ev-marl: the system refuses a file or connection: {reason}", file=sys.stderr)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            print(f"\nev-marl: {str(error) or 'stopped'}", file=sys.stderr)
            raise typer.Exit(130) from error


_SETTINGS: dict[str, Any] = {"cls": _Group, "no_args_is_help": True, "pretty_exceptions_enable": False}
app = typer.Typer(
    **_SETTINGS,
    help="EV charging stations as agents: scenarios, days, policies, and the proven cooperative optimum.",
    epilog=_examples(["ev-marl list", "ev-marl describe workplace", "ev-marl compare workplace --days 30"]),
)
app.add_typer(typer.Typer(**_SETTINGS, help="Days: draw them, import them from data, look at them."), name="track")
app.add_typer(typer.Typer(**_SETTINGS, help="Models from data of your own."), name="fit")
app.add_typer(
    typer.Typer(**_SETTINGS, help="The network of a scenario: as built, over a year, on three phases."), name="grid"
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"ev-marl {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Options before any command."""


def main() -> None:
    """Entry point of the command.

    Training starts anew with the environment that it needs to be reproducible; its help does not.
    """
    if sys.argv[1:2] == ["train"] and "--help" not in sys.argv:
        restart_reproducibly()
    app()
