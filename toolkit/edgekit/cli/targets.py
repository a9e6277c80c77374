"""``edgekit targets``: devices to measure on."""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click

from edgekit.cli.table import aligned, printable
from edgekit.errors import MissingDependencyError
from edgekit.progress import Progress

_BOARDS = ("pi2", "pi3", "zero2w", "pi4", "pi5")
_RUNTIMES = ("auto", "litert", "tflite-runtime", "onnx", "all")


@click.group("targets")
def command() -> None:
    """Name the devices to measure on, look at them, and make them ready.

    A target is `local`, or a device that this machine reaches by `ssh`, with the user's own
    configuration, keys and known hosts. Names are kept in ~/.config/edgekit/targets.toml, or in the
    file that EDGEKIT_TARGETS names. EDGEKIT_SSH takes the place of `ssh`: "ssh -F lab.config".
    A board can also be emulated here: what it computes is right, and its times mean nothing.

    Exit code: 0 done; 1 a device cannot be used; 2 a request that makes no sense.

    Example: edgekit targets add pi5 ssh://pi@pi5.local && edgekit targets setup pi5
    """


@command.command()
@click.argument("name")
@click.argument("url")
@click.option(
    "--python",
    metavar="PATH",
    help="Python there that has the runtimes.  [default: the one of setup, or python3]",
)
@click.option("--force", is_flag=True, help="Replace a target of the same name.")
def add(name: str, url: str, python: str | None, force: bool) -> None:
    """Call the device at URL by NAME from now on; it is not contacted.

    URL is ssh://user@host or ssh://user@host:port; host can be an alias of ~/.ssh/config.

    Example: edgekit targets add pi5 ssh://pi@pi5.local
    """
    targets = _targets()
    target = targets.Target(name=targets.check_name(name), url=url, python=python)
    targets.add_target(target, force=force)
    click.echo(f"{name} is {url}, says {targets.targets_file()}")
    if target.is_remote:
        click.echo(f"Next: edgekit targets check {name}", err=True)


@command.command("add-emulated")
@click.argument("board", type=click.Choice(_BOARDS))
@click.option("--name", help="Of the target.  [default: the board's]")
@click.option(
    "--apt-sources",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where packages for ARM come from, as apt has it.  [default: as on this system]",
)
@click.option("--force", is_flag=True, help="Build it again, and replace a target of its name.")
def add_emulated(board: str, name: str | None, apt_sources: Path | None, force: bool) -> None:
    """Emulate BOARD on this machine, and call it by its name from now on.

    It takes the packages qemu-user and gcc, a Debian-like system, and no rights. Its system,
    Python and runtimes are built once in ~/.cache/edgekit/boards (XDG_CACHE_HOME). It computes what
    the board would, and its instructions can be counted; how long it takes says nothing.

    Example: edgekit targets add-emulated pi4 && edgekit targets check pi4
    """
    targets = _targets()
    with Progress(targets.EMULATED_STEPS) as progress:
        done = targets.add_emulated(
            board, name=name, sources=apt_sources, force=force, progress=progress
        )
    model = targets.BOARDS[board].model
    said = "is built now" if done.built else "was there already"
    click.echo(f"{done.target.name}: emulated {model}, {said}, in {done.tree}")


@command.command()
@click.argument("name")
def remove(name: str) -> None:
    """Forget NAME; nothing changes on the device, and an emulated board stays in the cache.

    Example: edgekit targets remove pi5
    """
    targets = _targets()
    targets.remove_target(name)
    click.echo(f"{name} is gone from {targets.targets_file()}")


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def list_all(as_json: bool) -> None:
    """List the targets that have a name.

    Example: edgekit targets list
    """
    targets = _targets()
    found = [targets.find_target("local"), *targets.read_targets().values()]
    if as_json:
        rows = [
            {
                "name": one.name,
                "url": one.url,
                "python": one.python,
                "emulated": one.is_emulated,
            }
            for one in found
        ]
        document = {"schema_version": 1, "file": str(targets.targets_file()), "targets": rows}
        click.echo(json.dumps(document, indent=1))
        return
    table = [("name", "url", "python")]
    table += [
        (one.name, one.url, "emulated" if one.is_emulated else one.python or "") for one in found
    ]
    click.echo("\n".join(aligned(table, left=range(3))))


@command.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
@click.pass_context
def check(ctx: click.Context, names: tuple[str, ...], as_json: bool) -> None:
    """Look at devices, and say in words what is wrong with them.

    NAME is a name, a URL or `local`; without one, all that have a name are looked at, at once. What
    makes measuring impossible or worthless is a failure, and the exit code is 1; what makes it
    doubtful is a warning.

    Example: edgekit targets check pi5
    """
    targets = _targets()
    if names:
        wanted = [targets.find_target(name) for name in dict.fromkeys(names)]
    else:
        wanted = list(targets.read_targets().values()) or [targets.find_target("local")]
    with Progress(len(wanted)) as progress:
        progress.step(f"look at {', '.join(one.name for one in wanted)}")
        reports = targets.check_targets(wanted)
    if as_json:
        document = {"schema_version": 1, "targets": [report.to_dict() for report in reports]}
        click.echo(json.dumps(document, indent=1))
    else:
        click.echo("\n\n".join(_text(report) for report in reports))
    if not all(report.usable for report in reports):
        ctx.exit(1)


@command.command()
@click.argument("name")
@click.option(
    "--runtime",
    type=click.Choice(_RUNTIMES),
    default="auto",
    show_default=True,
    help="What to install: auto is litert, or else what fits; all adds ONNX Runtime.",
)
@click.option("--offline", is_flag=True, help="Fetch the packages here, and send them.")
@click.option("--python", metavar="PATH", help="Python there to make it with.  [default: python3]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def setup(name: str, runtime: str, offline: bool, python: str | None, as_json: bool) -> None:
    """Make an environment on the device NAME, with the runtime that fits it.

    It is ~/.local/share/edgekit/venv there, needs no rights but the user's, and replaces an earlier
    one when it works. If all is there already, nothing is done.

    Example: edgekit targets setup pi5 --runtime all --offline
    """
    targets = _targets()
    target = targets.find_target(name)
    with Progress(targets.STEPS) as progress:
        done = targets.set_up(
            target, runtime=runtime, offline=offline, python=python, progress=progress
        )
    if as_json:
        click.echo(json.dumps({"schema_version": 1, **done.to_dict()}, indent=1))
        return
    packages = ", ".join(f"{one} {version}" for one, version in done.packages.items())
    said = "is ready now" if done.changed else "was ready already"
    click.echo(f"{target.name} {said}: Python {done.python}, {packages} in {done.folder}")


def _targets() -> Any:
    """The module `edgekit_benchmarks.targets`, by its entry point."""
    found = list(entry_points(group="edgekit.benchmarks", name="targets"))
    if not found:
        message = "targets: no benchmarks are installed; run: pip install 'edgekit-toolkit[bench]'"
        raise MissingDependencyError(message)
    return found[0].load()


def _text(report: Any) -> str:
    rows = [(f"  {one.status}", one.name, printable(_said(one))) for one in report.checks]
    verdict = "can be measured on" if report.usable else "CANNOT be measured on"
    if report.usable and report.facts.get("emulated"):
        verdict = "is emulated, and can be used for all but timings"
    doubts = sum(check.status == "warn" for check in report.checks)
    if doubts and report.usable:
        verdict += f", with {doubts} warning{'s' if doubts > 1 else ''}"
    return "\n".join([f"{report.target.name}: {verdict}", *aligned(rows, left=range(3))])


def _said(check: Any) -> str:
    return f"{check.said}; {check.advice}" if check.advice else str(check.said)
