"""The user's ``ssh``, and the commands that a person would type with it.

``EDGEKIT_SSH`` takes the place of ``ssh``, with options: ``EDGEKIT_SSH="ssh -F lab.config"``. What
is advised takes it too, so that it works as it stands there.
"""

from __future__ import annotations

import os
import shlex

from edgekit.errors import MissingDependencyError, UsageError
from edgekit_benchmarks.target import Target

_COPIED = frozenset({"-F", "-i", "-o", "-p"})
"""Options, each with a value, that ``ssh-copy-id`` has too."""


def ssh_command() -> list[str]:
    """The client and its options.

    Raises:
        UsageError: EDGEKIT_SSH cannot be read.
    """
    try:
        return shlex.split(os.environ.get("EDGEKIT_SSH") or "ssh") or ["ssh"]
    except ValueError as error:
        reason = f"{error}"[:1].lower() + f"{error}"[1:]
        message = f"EDGEKIT_SSH: {reason}; write it as for a shell, e.g. 'ssh -F lab.config'"
        raise UsageError(message) from error


def no_client(error: OSError) -> MissingDependencyError:
    """What to say when the client does not start."""
    program = ssh_command()[0]
    if os.environ.get("EDGEKIT_SSH"):
        message = (
            f"{program}: does not start ({error.strerror}); EDGEKIT_SSH names it: set that to a "
            "program that works as ssh does, or unset it"
        )
    else:
        message = f"{program}: not installed; on Debian: sudo apt install openssh-client"
    return MissingDependencyError(message)


def login(target: Target) -> str:
    """How a person logs in.

    >>> login(Target(name="pi5", url="ssh://pi@pi5.local:2222"))
    'ssh -p 2222 pi@pi5.local'
    """
    return shlex.join([*ssh_command(), *_place(target)])


def copying(target: Target) -> str:
    """How a person gives the device a public key.

    >>> copying(Target(name="pi5", url="ssh://pi@pi5.local"))
    'ssh-copy-id pi@pi5.local'
    """
    program, *options = ssh_command()
    if os.path.basename(program) == "ssh" and _COPIED.issuperset(options[::2]):  # noqa: PTH119
        return shlex.join(["ssh-copy-id", *options, *_place(target)])
    script = "umask 077; mkdir -p .ssh; cat >> .ssh/authorized_keys"
    return f"{login(target)} {shlex.quote(script)} < YOUR_KEY.pub"


def adding(target: Target, *, url: str | None = None, python: str | None = None) -> str:
    """The command that makes the target another one.

    Args:
        target: as it is; without a name of its own one is to be chosen.
        url: another one.
        python: another one, or what stands for it; None leaves it out.

    >>> adding(Target(name="pi5", url="ssh://pi5"), python="PATH")
    'edgekit targets add pi5 ssh://pi5 --python PATH --force'
    """
    is_named = target.name != target.url
    words = ["edgekit targets add", target.name if is_named else "NAME"]
    words += [shlex.quote(url or target.url)]
    words += ["--python", shlex.quote(python)] if python else []
    return " ".join([*words, *(["--force"] if is_named else [])])


def _place(target: Target) -> list[str]:
    port = ["-p", str(target.port)] if target.port else []
    return [*port, f"{target.user}@{target.host}" if target.user else target.host]
