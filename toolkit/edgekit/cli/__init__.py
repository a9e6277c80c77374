"""The command line: parse, call one library function, print."""

from __future__ import annotations

import contextlib
import errno
import importlib
import signal
from typing import Any

import click

import edgekit
from edgekit.errors import EdgekitError
from edgekit.quote import escaped

_COMMANDS = {
    "bench": "Latency and memory of model files, here and on devices over SSH.",
    "compare": "Two benchmark results, statistically, and a gate for CI.",
    "convert": "Turn a trained model into verified TFLite and ONNX files.",
    "demo": "The whole way on a bundled model and real data, offline, in about a minute.",
    "doctor": "What is installed, which runtimes work here, what is missing.",
    "evaluate": "Score model files on labelled data, side by side, with intervals.",
    "inspect": "What a model file is, takes, gives, weighs and was made from.",
    "prune": "Make a trained Keras model smaller and faster, and say what that cost.",
    "run": "One inference on each image, array, sound or row of numbers.",
    "sign": "Say who made model files: a signature that devices can check.",
    "targets": "Devices to measure on: name them, look at them, make them ready.",
    "verify": "Whether model files give on other devices what they give here.",
}
"""Name and short help of each command; `edgekit.cli.<name>` is imported when it is used."""


class _Refusal(click.ClickException):
    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(escaped(message))
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance


_ENDING = (signal.SIGINT, signal.SIGTERM)


_UNWRITABLE = (errno.ENOSPC, errno.EIO, errno.EDQUOT)
"""What writing to standard output may meet, other than a closed pipe."""


def _interrupt(_signal: int, _frame: object) -> None:
    """Children are stopped and temporary files removed; whoever asks again cannot disturb that."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _heed_interrupts() -> None:
    with contextlib.suppress(ValueError):  # not in the main thread: the caller's business
        for number in _ENDING:
            if signal.getsignal(number) != signal.SIG_IGN:  # as nohup and shells' & have it
                signal.signal(number, _interrupt)


def _unwritable(error: OSError) -> Exception:
    """What to raise for `error`: itself, if it is not about standard output."""
    if error.errno not in _UNWRITABLE or error.filename is not None:
        return error
    return _Refusal(f"output: cannot be written ({error.strerror}); send it elsewhere", 1)


class Group(click.Group):
    """Imports a command when it is called; prints EdgekitError as one line."""

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        """Parse; ``--help`` and ``--version`` are printed while at it."""
        try:
            return super().make_context(*arguments, **options)
        except OSError as error:
            if (told := _unwritable(error)) is error:
                raise
            raise told from error

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Names of all commands, sorted."""
        return sorted(_COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command called `cmd_name`."""
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"edgekit.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table above, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error that a user can act on is one line and its exit code."""
        _heed_interrupts()
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Interrupted: stopped; nothing half-made is left", err=True)
            ctx.exit(130)
        except EdgekitError as error:
            raise _Refusal(str(error), error.exit_code) from error
        except click.UsageError as error:
            where = error.ctx.command_path if error.ctx else "edgekit"
            message = f"{error.format_message().rstrip('.')}; see {where} --help"
            raise _Refusal(message, error.exit_code) from error
        except OSError as error:
            if (told := _unwritable(error)) is error:
                raise
            raise told from error


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(edgekit.__version__, prog_name="edgekit")
def main() -> None:
    """Take a trained Keras model to the small device that will run it, and prove that it works.

    Example: edgekit convert model.keras --to tflite,onnx --quantize int8 --calibrate data.npz
    """
