"""`edgekit sign`: say who made a model file."""

from __future__ import annotations

import os
from pathlib import Path

import click

from edgekit import signing
from edgekit.cli.given_path import GivenPath
from edgekit.errors import OutputError, SourceError, UsageError, VerificationError
from edgekit.quote import escaped


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=GivenPath())
@click.option(
    "--key",
    required=True,
    type=GivenPath(),
    help="The ed25519 private key, as a PEM file.",
)
@click.option(
    "-o",
    "--out",
    type=GivenPath(str),
    help="Where to write: a file, or a folder (FOLDER/, or several FILEs); else in place.",
)
@click.option("--force", is_flag=True, help="Replace a file that is there already.")
@click.pass_context
def command(
    ctx: click.Context, /, files: tuple[Path, ...], key: Path, out: str | None, force: bool
) -> None:
    """Put a signature into .tflite or .onnx files that edgekit converted.

    A device that loads them with the public key (edgekit.load, public_key=...) refuses whatever
    was not signed, or was changed since. Make the keys with:

    \b
    openssl genpkey -algorithm ed25519 -out key.pem
    openssl pkey -in key.pem -pubout -out public.pem

    Exit code: 0 all signed; 1 a file could not be (the rest is); 2 a request that makes no sense.

    Example: edgekit sign mnist.int8.tflite --key key.pem
    """  # noqa: D301  # click wants the backspace itself
    target = Path(out) if out is not None else None
    folder = None
    if out is not None and target is not None and (_names_folder(out) or len(files) > 1):
        folder, names = target, [file.name for file in files]
        doubled = next((name for name in names if names.count(name) > 1), None)
        if doubled:
            message = f"-o {out}: two files are called {doubled}; sign them one by one"
            raise UsageError(message)
    for file in files:
        signing.refuse_key(file, key)
        signing.refuse_key(
            file if target is None else folder / file.name if folder else target, key
        )
    if folder is not None:
        _make(folder)
    failed = False
    for file in files:
        place = folder / file.name if folder else target
        try:
            if place is not None and not force:
                _refuse_existing(place)
            click.echo(f"{signing.sign(file, key, place)}: signed")
        except (SourceError, OutputError, VerificationError) as error:  # the rest is signed still
            click.echo(f"Error: {escaped(str(error))}", err=True)
            failed = True
    if failed:
        ctx.exit(1)


def _names_folder(out: str) -> bool:
    separators = (os.sep, os.altsep) if os.altsep else (os.sep,)
    return out.endswith(separators) or Path(out).is_dir()


def _refuse_existing(place: Path) -> None:
    if place.exists():
        message = f"{place}: exists already; add --force to replace it, or choose -o"
        raise OutputError(message)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        message = f"-o {folder}: not a folder; name one"
        raise UsageError(message) from None
    except OSError as error:
        message = f"-o {folder}: cannot be made ({error.strerror}); choose another place"
        raise OutputError(message) from None
