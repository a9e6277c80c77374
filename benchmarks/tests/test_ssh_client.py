"""What a person is advised to type."""

from __future__ import annotations

import pytest

from edgekit.errors import UsageError
from edgekit_benchmarks.ssh_client import adding, copying, login, ssh_command
from edgekit_benchmarks.target import Target, from_url

PI = Target(name="pi5", url="ssh://pi@pi5:2222")


@pytest.fixture(autouse=True)
def own_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGEKIT_SSH", raising=False)


def test_a_login_is_that_of_the_users_client(monkeypatch: pytest.MonkeyPatch) -> None:
    assert login(PI) == "ssh -p 2222 pi@pi5"
    monkeypatch.setenv("EDGEKIT_SSH", "ssh -F 'my lab.config'")
    assert login(PI) == "ssh -F 'my lab.config' -p 2222 pi@pi5"


@pytest.mark.parametrize(
    ("client", "said"),
    [
        ("", "ssh-copy-id -p 2222 pi@pi5"),
        ("/usr/bin/ssh -F lab.config", "ssh-copy-id -F lab.config -p 2222 pi@pi5"),
        ("dbclient -y", "dbclient -y -p 2222 pi@pi5 'umask 077; mkdir -p .ssh; cat >> "),
        ("ssh -J jump", "ssh -J jump -p 2222 pi@pi5 'umask 077; mkdir -p .ssh; cat >> "),
    ],
)
def test_a_key_is_copied_by_what_takes_the_same_options(
    monkeypatch: pytest.MonkeyPatch, client: str, said: str
) -> None:
    monkeypatch.setenv("EDGEKIT_SSH", client)
    assert copying(PI).startswith(said)


def test_a_target_is_added_again_under_its_name() -> None:
    assert adding(PI) == "edgekit targets add pi5 ssh://pi@pi5:2222 --force"
    one = adding(from_url("ssh://[::1]"), python="~/py")
    assert one == "edgekit targets add NAME 'ssh://[::1]' --python '~/py'"


def test_a_client_that_cannot_be_read_makes_no_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_SSH", "ssh 'x")
    with pytest.raises(UsageError, match="EDGEKIT_SSH: no closing quotation; write it as for"):
        ssh_command()
