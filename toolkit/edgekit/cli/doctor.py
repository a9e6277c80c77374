"""`edgekit doctor`: what is installed, which runtimes work here, what is missing."""

from __future__ import annotations

import json

import click

from edgekit.doctor import RUNTIMES, Package, Report, RuntimeCheck, diagnose, install_command

_CONVERTING = ("convert", "keras2")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def command(as_json: bool) -> None:
    """Tell what is installed, which runtimes work here, and what is missing.

    Each runtime loads and runs a tiny model in a process of its own. The exit code is 0 when at
    least one of them works and nothing is broken, else 1.

    Example: edgekit doctor
    """
    report = diagnose()
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=2))
    else:
        click.echo("\n".join(_lines(report)))
    if not report.healthy:
        raise click.exceptions.Exit(1)


def _lines(report: Report) -> list[str]:
    lines = [
        f"edgekit {report.edgekit}, Python {report.python}, "
        f"{report.system} {report.machine}{report.libc and f', {report.libc}'}",
        f"{report.cores} cores, {report.memory_bytes / 2**30:.1f} GiB of memory, "
        f"{report.memory_available_bytes / 2**30:.1f} GiB available",
        "",
        "Runtimes, each tried on a tiny model",
        *map(_runtime_line, report.runtimes),
    ]
    converting = [p for p in report.packages if p.extra in _CONVERTING and p.name not in RUNTIMES]
    if converting:
        lines += ["", "For converting, not tried here", *map(_package_line, converting)]
    lines += ["", *(f"{p.level}: {p.message}" for p in report.problems)]
    lines.append(
        "Healthy: a runtime works, nothing is at odds." if report.healthy else "Not healthy."
    )
    return lines


def _runtime_line(runtime: RuntimeCheck) -> str:
    if runtime.works:
        said = f"works ({runtime.time_ms / 1000:.1f} s)"
    elif runtime.version is not None:
        said = f"DOES NOT WORK: {runtime.reason}"
    else:
        said = install_command(RUNTIMES[runtime.name])
        if runtime.name == "tflite-runtime":
            said += ", only where there is no ai-edge-litert; wants numpy<2"
    return _row(runtime.name, runtime.version, said)


def _package_line(package: Package) -> str:
    if package.version is None:
        return _row(package.name, None, package.install)
    return _row(package.name, package.version, package.install and f"needs {package.needs}")


def _row(name: str, version: str | None, said: str) -> str:
    return f"  {name:<30} {version or 'missing':<10} {said}".rstrip()
