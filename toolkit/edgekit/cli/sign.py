"""`edgekit sign`: say who made a model file."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit import signing
from edgekit.errors import OutputError, UsageError


@click.command()
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "--key",
    required=True,
    type=click.Path(path_type=Path),
    help="The ed25519 private key, as a PEM file.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="Where to write: a folder, or a file when there is one FILE; in place if not given.",
)
@click.option("--force", is_flag=True, help="Replace a file that is there already.")
def command(files: tuple[Path, ...], key: Path, out: Path | None, force: bool) -> None:
    """Put a signature into .tflite or .onnx files that edgekit converted.

    A device that loads them with the public key (edgekit.load, public_key=...) refuses whatever
    was not signed, or was changed since. Make the keys with:

    \b
    openssl genpkey -algorithm ed25519 -out key.pem
    openssl pkey -in key.pem -pubout -out public.pem

    Example: edgekit sign mnist.int8.tflite --key key.pem
    """  # noqa: D301  # click wants the backspace itself
    is_folder = out is not None and (out.is_dir() or len(files) > 1)
    if out is not None and is_folder and not out.is_dir():
        message = f"-o {out}: not a folder, and there are {len(files)} files; name a folder"
        raise UsageError(message)
    for file in files:
        target = out / file.name if out is not None and is_folder else out
        if target is not None and target.exists() and not force:
            message = f"{target}: exists already; add --force to replace it, or choose -o"
            raise OutputError(message)
        click.echo(f"{signing.sign(file, key, target)}: signed")
