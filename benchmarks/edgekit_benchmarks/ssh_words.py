"""What ``ssh`` prints when it fails, said so that one knows what to do."""

from __future__ import annotations

import re
import shlex

from edgekit_benchmarks.ssh_client import adding, copying, login
from edgekit_benchmarks.target import Target

_RAISED = "on the device: sudo systemctl enable --now ssh"


def refusal(target: Target, printed: str) -> str:
    """Why there is no connection, from what ssh printed: ``what is wrong; what to do``."""
    for pattern, words in _PATTERNS.items():
        found = re.search(rf"^.*(?:{pattern}).*$", printed, re.IGNORECASE | re.MULTILINE)
        if found:
            return words.format(
                login=login(target),
                host=target.host,
                copy=copying(target),
                add=adding(target, url="ssh://USER@ADDRESS", python=target.python),
                key=_key(printed),
                port=target.port or "22, or the one of the ssh configuration",
                forget=_forgetting(target, printed),
                said=_brief(found[0]),
            )
    lines = [line for line in printed.splitlines() if line.strip()]
    quoted = f" (ssh said: {_brief(lines[-1])})" if lines else ""
    return f"the connection broke off{quoted}; is the device up? try: {login(target)}"


_PATTERNS = {
    r"IDENTIFICATION HAS CHANGED": (
        "its host key is not the one that was accepted before: another device, a new "
        "installation, or an attack; if you know why, run: {forget}, and then once: {login}"
    ),
    r"REVOKED HOST KEY": "its host key was revoked; ask whoever runs the device",
    r"Host key verification failed|No \w+ host key is known": (
        "its host key is not known here; run once, and compare the fingerprint: {login}"
    ),
    r"UNPROTECTED PRIVATE KEY|bad permissions": (
        "the private key can be read by others, so ssh does not use it; run: chmod 600 {key}"
    ),
    r"Too many authentication failures": (
        "was offered too many keys; name the right one in ~/.ssh/config with IdentityFile and "
        "IdentitiesOnly yes"
    ),
    r"Permission denied \(": (
        "refuses the login with our keys; run once: {copy}, or load the key: ssh-add"
    ),
    r"Could not resolve hostname": (
        "there is no host called {host}; check the spelling, or give its address: {add}"
    ),
    r"Connection refused": ("nothing listens on port {port}; turn ssh on " + _RAISED),
    r"not responding|Broken pipe|Connection reset|Connection closed by|closed by remote host": (
        "the connection broke off (ssh said: {said}); is the device up? try: {login}"
    ),
    r"timed out|timeout|No route to host|Network is unreachable|Host is down": (
        "does not answer (ssh said: {said}); is it on, and in this network?"
    ),
    r"no matching .* found|Unable to negotiate": (
        "has no way to talk in common with this ssh ({said}); renew its ssh server"
    ),
    r"Bad configuration option|Bad owner or permissions|bad configuration options": (
        "the ssh configuration here is wrong ({said}); mend it until this works: {login}"
    ),
}
"""Looked for in this order; a changed key, for one, also ends with "verification failed"."""


def _forgetting(target: Target, printed: str) -> str:
    """The command that ssh itself proposes, or the like."""
    proposed = re.search(r"^\s*(ssh-keygen -f .* -R .*?)\s*$", printed, re.MULTILINE)
    if proposed:
        return proposed[1]
    place = f"[{target.host}]:{target.port}" if target.port not in {None, 22} else target.host
    return f'ssh-keygen -R "{place}"'


def _key(printed: str) -> str:
    """The file that ssh complains of."""
    found = re.search(r"Permissions \d+ for '(.+)' are too open|Load key \"(.+)\":", printed)
    return shlex.quote(found[1] or found[2]) if found else "on the file that ssh names"


def _brief(line: str) -> str:
    return re.sub(r"^ssh: |\.$", "", one_line(line))


def one_line(text: str) -> str:
    r"""What a device says, as a piece of a message: nothing in it steers the terminal.

    >>> one_line("Welcome\x1b[31m\r\nto the Pi")
    'Welcome [31m to the Pi'
    """
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:300]
