"""Names and URLs of devices, and the file they are kept in."""

from __future__ import annotations

import threading
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import OutputError, SourceError, UsageError
from edgekit_benchmarks.target import Target, check_name, from_url
from edgekit_benchmarks.target_file import (
    add_target,
    find_target,
    read_targets,
    remove_target,
    targets_file,
)

PI5 = Target(name="pi5", url="ssh://pi@pi5.local")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEKIT_TARGETS", str(tmp_path / "lab.toml"))
    return tmp_path / "lab.toml"


# ---- URLs


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ssh://pi5", ("--", "pi5")),
        ("ssh://pi5/", ("--", "pi5")),
        ("ssh://pi@pi5.local", ("-l", "pi", "--", "pi5.local")),
        ("ssh://10.0.0.7:2222", ("-p", "2222", "--", "10.0.0.7")),
        ("ssh://pi@[fe80::1%eth0]:22", ("-p", "22", "-l", "pi", "--", "fe80::1%eth0")),
    ],
)
def test_a_url_becomes_words_for_ssh(url: str, words: tuple[str, ...]) -> None:
    assert from_url(url).ssh_words == words


@pytest.mark.parametrize(
    "url",
    [
        "",
        "pi5",
        "ssh://",
        "ssh:///",
        "http://pi5",
        "SSH//pi5",
        "ssh://-oProxyCommand=reboot",
        "ssh://-l@pi5",
        "ssh://pi@-oProxyCommand=reboot",
        "ssh://pi@pi5;reboot",
        "ssh://pi@pi5 -p 22",
        "ssh://$(reboot)@pi5",
        "ssh://pi@pi5/home",
        "ssh://pi@pi5?x=1",
        "ssh://pi@pi5\n",
        "ssh://pi5:0",
        "ssh://pi5:65536",
        "ssh://pi5:ssh",
        "ssh://[fe80::1",
        "ssh://pï5",
    ],
)
def test_what_is_no_url_of_a_device_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="write ssh://user@host"):
        from_url(url)


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError, match="a password has no place") as caught:
        from_url("ssh://pi:raspberry@pi5")
    assert "raspberry" not in str(caught.value)


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_text_becomes_an_option_of_ssh(user: str, host: str) -> None:
    try:
        words = from_url(f"ssh://{user}@{host}").ssh_words
    except UsageError:
        return
    assert not words[1].startswith("-")
    assert not words[-1].startswith("-")
    assert all(word.isprintable() and not set(word) & set(" ;&|<>`'\"\\!(){}") for word in words)


@given(st.text(min_size=1, max_size=20))
def test_no_python_holds_what_a_shell_reads(text: str) -> None:
    try:
        python = Target(name="a", url="ssh://a", python=text).python
    except UsageError:
        return
    assert python == text
    assert not set(text) & set(";&|<>`'\"\\!(){}$*?#\n\t")
    assert not text.startswith(("-", "~root"))


def test_a_target_without_a_name_is_called_by_its_url() -> None:
    assert from_url("ssh://pi@10.0.0.7:2222").name == "ssh://pi@10.0.0.7:2222"


# ---- names


@pytest.mark.parametrize("name", ["", "-x", ".x", "a b", "a/b", "é", "a\n", "x" * 65, 'a"'])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is no name of a target"):
        check_name(name)


def test_local_is_no_name_for_a_device() -> None:
    with pytest.raises(UsageError, match="local: is this machine"):
        check_name("local")


# ---- finding


def test_local_is_always_there(file: Path) -> None:
    assert find_target("local").is_local


def test_a_url_needs_no_name(file: Path) -> None:
    assert find_target("ssh://pi@pi5").host == "pi5"


def test_a_name_that_was_added_is_found(file: Path) -> None:
    add_target(PI5)
    assert find_target("pi5") == PI5


def test_an_unknown_name_lists_those_that_are_known(file: Path) -> None:
    add_target(PI5)
    with pytest.raises(UsageError, match=r"no target 'pi6'; there are: local, pi5; add it"):
        find_target("pi6")


@pytest.mark.parametrize("text", ["", "pi 5", "--force"])
def test_what_can_be_no_name_is_not_offered_to_be_added(file: Path, text: str) -> None:
    with pytest.raises(UsageError, match="is no name of a target"):
        find_target(text)


def test_a_login_without_scheme_is_told_how_to_write_it(file: Path) -> None:
    with pytest.raises(UsageError, match=r"write ssh://pi@pi5"):
        find_target("pi@pi5")


def test_a_wrong_entry_does_not_stop_the_others(file: Path) -> None:
    file.write_text('[targets.bad]\nurl = "nowhere"\n[targets.pi5]\nurl = "ssh://pi@pi5.local"\n')
    assert find_target("pi5") == PI5
    with pytest.raises(SourceError, match="lab.toml: 'nowhere': is no URL"):
        find_target("bad")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[targets.a]\nurl = 3\n", "has no url that is text"),
        ("[targets.a]\n", "has no url that is text"),
        ('[targets.a]\nurl = "ssh://a"\npyhton = "x"\n', "unknown key 'pyhton'"),
        ('[targets.a]\nurl = "ssh://a"\npython = "x; y"\n', "is no path of a Python"),
        ('[targets."a b"]\nurl = "ssh://a"\n', "is no name of a target"),
        ("targets = 3\n", "holds no tables of targets"),
        ("[targets]\na = 3\n", "holds no tables of targets"),
    ],
)
def test_an_entry_that_makes_no_sense_names_the_file(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(SourceError, match=rf"lab\.toml: .*{message}"):
        read_targets()


def test_a_file_that_is_no_toml_is_told_with_the_line(file: Path) -> None:
    file.write_text("[targets\n")
    with pytest.raises(SourceError, match=r"lab\.toml: is no TOML .*line 1"):
        read_targets()


def test_a_file_that_is_no_text_is_told(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(SourceError, match="not UTF-8"):
        read_targets()


def test_the_file_lies_where_configurations_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGEKIT_TARGETS", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert targets_file() == tmp_path / "edgekit/targets.toml"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert targets_file() == tmp_path / ".config/edgekit/targets.toml"


# ---- changing the file

OWN = """# my lab
title = "lab"

[other]  # not edgekit's
key = [1,
  2]

# the old one
[targets.pi4]
url = "ssh://pi@pi4"  # attic

# the quick one
[targets . "pi5"]
url = 'ssh://pi@pi5.local'

[zebra]
x = 1
"""


def test_what_is_added_can_be_read(file: Path) -> None:
    for target in (
        PI5,
        Target(name="pi.4", url="ssh://pi4:22", python="~/my env/bin/python"),
        Target(name="here", url="local", python="/usr/bin/python3"),
    ):
        add_target(target)
        assert read_targets()[target.name] == target


def test_a_folder_that_is_missing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_TARGETS", str(tmp_path / "a/b/c.toml"))
    add_target(PI5)
    assert [path.name for path in (tmp_path / "a/b").iterdir()] == ["c.toml"]


def test_adding_keeps_every_line_that_was_there(file: Path) -> None:
    file.write_text(OWN)
    add_target(Target(name="new", url="ssh://new"))
    assert file.read_text() == f'{OWN}\n[targets.new]\nurl = "ssh://new"\n'


def test_removing_takes_one_table_and_nothing_else(file: Path) -> None:
    file.write_text(OWN)
    remove_target("pi4")
    lines = ("[targets.pi4]\n", 'url = "ssh://pi@pi4"  # attic\n')
    assert file.read_text().replace("\n", "") == (
        OWN.replace(lines[0], "").replace(lines[1], "").replace("\n", "")
    )
    remove_target("pi5")
    assert read_targets() == {}
    assert "# the quick one" in file.read_text()
    assert tomllib.loads(file.read_text()) == {
        "title": "lab",
        "other": {"key": [1, 2]},
        "zebra": {"x": 1},
    }


def test_a_taken_name_is_replaced_only_by_force(file: Path) -> None:
    file.write_text(OWN)
    other = Target(name="pi4", url="ssh://elsewhere")
    with pytest.raises(OutputError, match="pi4: is ssh://pi@pi4 already; add --force"):
        add_target(other)
    add_target(other, force=True)
    assert read_targets() == {"pi5": PI5, "pi4": other}


def test_removing_an_unknown_name_is_refused(file: Path) -> None:
    with pytest.raises(UsageError, match=r"no target 'pi4' in .*; there are: none"):
        remove_target("pi4")


@pytest.mark.parametrize(
    "text",
    [
        '[targets]\npi5 = {url = "ssh://pi@pi5.local"}\n',
        '[targets]\npi5.url = "ssh://pi@pi5.local"\n',
        'note = """\n[targets.pi5]\n"""\n[targets."p\\u0069\\u0035"]\nurl = "ssh://pi@pi5.local"\n',
    ],
)
def test_a_file_written_in_another_way_is_left_to_the_user(file: Path, text: str) -> None:
    file.write_text(text)
    assert find_target("pi5") == PI5
    with pytest.raises(OutputError, match="change it by hand"):
        remove_target("pi5")
    assert file.read_text() == text


def test_a_linked_file_stays_a_link(file: Path, tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    real = tmp_path / "dotfiles/targets.toml"
    real.write_text("# mine\n")
    file.symlink_to(real)
    add_target(PI5)
    assert file.is_symlink()
    assert real.read_text().startswith("# mine\n")
    assert find_target("pi5") == PI5


def test_many_can_add_at_once(file: Path) -> None:
    def add(number: int) -> None:
        add_target(Target(name=f"pi{number}", url=f"ssh://pi{number}"))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_targets()) == 12
    assert [path.name for path in file.parent.iterdir()] == ["lab.toml"]


def test_a_place_that_cannot_be_written_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_TARGETS", "/proc/targets.toml")
    with pytest.raises(OutputError, match="cannot be written"):
        add_target(PI5)
