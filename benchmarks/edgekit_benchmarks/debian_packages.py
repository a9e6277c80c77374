"""Debian packages of another architecture, fetched with the system's own apt by an ordinary user.

Nothing of this machine's apt is changed: it works in a folder of ours, as on a machine of the other
architecture on which nothing is installed. No program of a package runs.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from edgekit.errors import SourceError
from edgekit_benchmarks.target import TargetError

_SOURCES = Path("/etc/apt")
_OWN = ("sources.list", "sources.list.d/debian.sources", "sources.list.d/ubuntu.sources")
"""Where the distribution's own sources stand; others need not know the architecture."""
_SETTINGS = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
APT::Install-Recommends "false";
APT::Get::Assume-Yes "true";
APT::Sandbox::User "root";
APT::Keep-Downloaded-Packages "true";
Debug::NoLocking "true";
Acquire::Languages "none";
Acquire::Retries "2";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
"""
_ERROR = re.compile(r"(?:^|\.\.\.)(?:E|W|dpkg-deb: error|tar): (.+)")
_UNPACK = """\
dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink --no-same-owner -C "$2"
"""
_LINKS = ("bin", "sbin", "lib")
"""What merged into /usr, and stands for it at the top."""
_NEEDLESS = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info")

Say = Callable[[str], None]


def fetch_packages(
    architecture: str,
    names: Sequence[str],
    folder: Path,
    *,
    sources: Path | None = None,
    say: Say = lambda _text: None,
    warn: Say = lambda _text: None,
) -> list[Path]:
    """Download packages with all that they depend on.

    Args:
        architecture: as Debian calls it.
        names: of packages.
        folder: to work in; made if need be.
        sources: apt's sources to take them from, ``.list`` or ``.sources``; None: the ones of this
            system.
        say: told what apt does.
        warn: told what it does without.

    Returns:
        The files, by name.

    Raises:
        TargetError: a package cannot be had: no network, or not for the architecture.
        SourceError: there are no sources.
    """
    state, cache = folder / "state", folder / "cache"
    for part in (state / "lists" / "partial", cache / "archives" / "partial", folder / "sources"):
        part.mkdir(parents=True, exist_ok=True)
    for source in source_files(sources):
        suffix = ".sources" if source.suffix == ".sources" else ".list"
        shutil.copyfile(source, folder / "sources" / f"{source.stem}{suffix}")
    (folder / "status").touch()
    settings = folder / "apt.conf"
    places = {
        "Dir::State": state,
        "Dir::State::status": folder / "status",
        "Dir::Cache": cache,
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": folder / "sources",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "APT::Architecture": architecture,
    }
    lines = [f'{name} "{value}";\n' for name, value in places.items()]
    lines.append(f'#clear APT::Architectures;\nAPT::Architectures {{ "{architecture}"; }};\n')
    settings.write_text(_SETTINGS + "".join(lines))
    apt = ["apt-get", "-c", str(settings)]
    missed = _run([*apt, "update"], say)
    failed = _run([*apt, "install", "--download-only", *names], say)
    if failed:
        message = (
            f"{architecture}: packages cannot be fetched (apt-get said: {missed or failed}); "
            "check the network and apt's sources, or name others: --apt-sources FILE"
        )
        raise TargetError(message)
    if missed:
        warn(f"{architecture}: goes on without package sources that fail ({missed})")
    return sorted((cache / "archives").glob("*.deb"))


def source_files(sources: Path | None = None) -> list[Path]:
    """The files that say where packages come from.

    Raises:
        SourceError: there are none.
    """
    found = [sources] if sources else [_SOURCES / name for name in _OWN]
    files = [path for path in found if path.is_file() and path.stat().st_size]
    if not files:
        what = sources or "apt: this system's sources"
        message = f"{what}: not found; name a file of Debian's sources: --apt-sources FILE"
        raise SourceError(message)
    return files


def unpack_packages(packages: Sequence[Path], tree: Path, say: Say = lambda _text: None) -> None:
    """Unpack packages into a file tree, without manuals and translations.

    Raises:
        TargetError: a package is damaged, or there is no space.
    """
    for name in _LINKS:
        (tree / "usr" / name).mkdir(parents=True, exist_ok=True)
        (tree / name).symlink_to(f"usr/{name}")
    for package in packages:
        say(package.name)
        failed = _run(["sh", "-c", _UNPACK, "sh", str(package), str(tree)], say)
        if failed:
            message = (
                f"{package.name}: cannot be unpacked ({failed}); free some space, or try again"
            )
            raise TargetError(message)
    for name in _NEEDLESS:
        shutil.rmtree(tree / name, ignore_errors=True)


def _run(command: Sequence[str], say: Say) -> str:
    """What went wrong, as the program says it; nothing if all went well."""
    failed = ""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # all that it starts ends with it
        env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                text = line.decode(errors="replace").strip()
                error = _ERROR.search(text)
                if error:
                    failed = failed or error[1][:300]
                elif text:
                    say(text)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode == 0 and command[-1] != "update":
        return ""  # apt-get says E: of what it then does without
    return failed or (f"exit code {process.returncode}" if process.returncode else "")
