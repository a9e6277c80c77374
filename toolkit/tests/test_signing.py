import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit import seal, signing
from edgekit.errors import OutputError, SourceError, UsageError, VerificationError

pytest.importorskip("cryptography", reason="cryptography is not installed")


def _pem(kind: str) -> tuple[bytes, bytes]:
    """A private key of a kind, and its public one, as openssl writes them."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    key = {
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "x25519": x25519.X25519PrivateKey.generate,
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
    }[kind]()
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    )


@pytest.fixture(scope="module")
def pair() -> tuple[bytes, bytes]:
    return _pem("ed25519")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "m.tflite"
    path.write_bytes(b'weights{"seal":"' + seal.PLACEHOLDER.encode() + b'"}more weights')
    seal.seal(path)
    return path


def test_what_was_signed_is_verified(model: Path, pair: tuple[bytes, bytes]) -> None:
    assert signing.sign(model, pair[0]) == model
    signing.verify(model.read_bytes(), pair[1], "m.tflite")


def test_a_signature_leaves_the_content_and_its_hash(
    model: Path, pair: tuple[bytes, bytes]
) -> None:
    before = seal.read(model.read_bytes(), "m")
    signing.sign(model, pair[0])
    after = seal.read(model.read_bytes(), "m")
    assert before
    assert after
    assert before.digest == after.digest
    assert after.is_signed
    assert not before.is_signed


def test_signing_twice_gives_the_same_file(model: Path, pair: tuple[bytes, bytes]) -> None:
    first = signing.sign(model, pair[0]).read_bytes()
    assert signing.sign(model, pair[0]).read_bytes() == first


def test_another_place_leaves_the_file_alone(
    model: Path, pair: tuple[bytes, bytes], tmp_path: Path
) -> None:
    before = model.read_bytes()
    out = signing.sign(model, pair[0], tmp_path / "signed.tflite")
    assert model.read_bytes() == before
    signing.verify(out.read_bytes(), pair[1], "m")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.tflite", "signed.tflite"]


def test_the_mode_of_the_file_stays(model: Path, pair: tuple[bytes, bytes]) -> None:
    model.chmod(0o640)
    signing.sign(model, pair[0])
    assert model.stat().st_mode & 0o777 == 0o640


def test_a_link_stays_a_link(model: Path, pair: tuple[bytes, bytes], tmp_path: Path) -> None:
    link = tmp_path / "link.tflite"
    link.symlink_to(model)
    signing.sign(link, pair[0])
    assert link.is_symlink()
    signing.verify(model.read_bytes(), pair[1], "m")


def test_keys_may_be_files_or_text(model: Path, pair: tuple[bytes, bytes], tmp_path: Path) -> None:
    private, public = tmp_path / "key.pem", tmp_path / "public.pem"
    private.write_bytes(pair[0])
    public.write_bytes(pair[1])
    for key in (private, str(private), pair[0], pair[0].decode()):
        signing.sign(model, key)
    for key in (public, str(public), pair[1], pair[1].decode()):
        signing.verify(model.read_bytes(), key, "m")


def test_keys_that_openssl_makes_work(model: Path, tmp_path: Path) -> None:
    try:
        make = ["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(tmp_path / "key.pem")]
        subprocess.run(make, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("openssl with ed25519 is not installed")
    derive = ["openssl", "pkey", "-in", "key.pem", "-pubout", "-out", "public.pem"]
    subprocess.run(derive, check=True, cwd=tmp_path)
    signing.sign(model, tmp_path / "key.pem")
    signing.verify(model.read_bytes(), tmp_path / "public.pem", "m")
    encrypt = ["openssl", "pkey", "-in", "key.pem", "-aes256", "-passout", "pass:x"]
    subprocess.run([*encrypt, "-out", "locked.pem"], check=True, cwd=tmp_path)
    with pytest.raises(UsageError, match=r"locked\.pem: protected by a passphrase; take it off"):
        signing.sign(model, tmp_path / "locked.pem")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(data=st.data())
def test_any_change_after_signing_is_refused(
    model: Path, pair: tuple[bytes, bytes], data: st.DataObject
) -> None:
    signed = bytearray(signing.sign(model, pair[0]).read_bytes())
    signed[data.draw(st.integers(0, len(signed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(VerificationError, match="m: "):
        signing.verify(bytes(signed), pair[1], "m")


def test_resealing_a_changed_file_does_not_help(model: Path, pair: tuple[bytes, bytes]) -> None:
    found = seal.read(signing.sign(model, pair[0]).read_bytes(), "m")
    assert found
    model.write_bytes(model.read_bytes().replace(b"more weights", b"MORE WEIGHTS"))
    forged = seal.Seal(offset=found.offset, digest=seal.seal(model), signature=found.signature)
    seal.write(model, forged)
    assert seal.check(model.read_bytes(), "m")
    with pytest.raises(VerificationError, match="its signature does not belong to this public key"):
        signing.verify(model.read_bytes(), pair[1], "m")


def test_a_wrong_key_is_refused(model: Path, pair: tuple[bytes, bytes]) -> None:
    signing.sign(model, pair[0])
    with pytest.raises(VerificationError, match="m: its signature does not belong to this public"):
        signing.verify(model.read_bytes(), _pem("ed25519")[1], "m")


def test_an_unsigned_file_is_refused(model: Path, pair: tuple[bytes, bytes]) -> None:
    with pytest.raises(
        VerificationError, match="m: is not signed, and a public key was given; run"
    ):
        signing.verify(model.read_bytes(), pair[1], "m")


def test_a_file_without_a_seal_is_refused(pair: tuple[bytes, bytes], tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match="m: has no seal, and so no signature"):
        signing.verify(b"TFL3", pair[1], "m")
    path = tmp_path / "m.onnx"
    path.write_bytes(b"onnx")
    with pytest.raises(SourceError, match=r"m\.onnx: has no seal to sign; give a \.tflite or"):
        signing.sign(path, pair[0])


def test_a_damaged_file_is_not_signed(model: Path, pair: tuple[bytes, bytes]) -> None:
    model.write_bytes(b"W" + model.read_bytes()[1:])
    with pytest.raises(SourceError, match=r"m\.tflite: damaged"):
        signing.sign(model, pair[0])


@pytest.mark.parametrize("kind", ["x25519", "rsa", "ec"])
def test_keys_of_another_kind_are_refused(kind: str, model: Path) -> None:
    private, public = _pem(kind)
    with pytest.raises(UsageError, match=rf"private key for (?i:{kind}), not ed25519; make one: "):
        signing.sign(model, private)
    with pytest.raises(UsageError, match=rf"public key for (?i:{kind}), not ed25519; make one: "):
        signing.verify(model.read_bytes(), public, "m")


def test_keys_that_are_mixed_up_are_told(model: Path, pair: tuple[bytes, bytes]) -> None:
    with pytest.raises(UsageError, match="the public key; sign with the private one"):
        signing.sign(model, pair[1])
    with pytest.raises(UsageError, match="the private key, which no device should have; run"):
        signing.verify(model.read_bytes(), pair[0], "m")


@pytest.mark.parametrize(
    "text", [b"", b"hello", b"-----BEGIN PRIVATE KEY-----\nAA\n", b"\xff" * 99]
)
def test_what_is_no_key_is_refused(text: bytes, model: Path) -> None:
    with pytest.raises(UsageError, match=r"not a private key in PEM form; make one: openssl"):
        signing.sign(model, text)
    with pytest.raises(UsageError, match="public key|no device should have"):
        signing.verify(model.read_bytes(), text, "m")


def test_a_missing_key_is_one_line(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no\.pem: no such file or folder; check the path"):
        signing.sign(model, tmp_path / "no.pem")
    with pytest.raises(UsageError, match="null"):
        signing.verify(model.read_bytes(), "no\0.pem", "m")


def test_a_folder_that_cannot_be_written_leaves_nothing(
    model: Path, pair: tuple[bytes, bytes], tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        signing.sign(model, pair[0], tmp_path / "no" / "m.tflite")
    assert [path.name for path in tmp_path.iterdir()] == ["m.tflite"]


def test_the_message_of_a_key_never_holds_the_key(model: Path, pair: tuple[bytes, bytes]) -> None:
    with pytest.raises(UsageError) as told:
        signing.sign(model, _pem("rsa")[0].decode())
    assert "BEGIN" not in str(told.value)


# ---- the command ------------------------------------------------------------------------------


def test_the_command_signs_several_files_into_a_folder(
    model: Path, pair: tuple[bytes, bytes], tmp_path: Path
) -> None:
    from click.testing import CliRunner

    from edgekit.cli import main

    (tmp_path / "key.pem").write_bytes(pair[0])
    (tmp_path / "out").mkdir()
    other = tmp_path / "n.tflite"
    other.write_bytes(model.read_bytes())
    request = ["sign", str(model), str(other), "--key", str(tmp_path / "key.pem")]
    done = CliRunner().invoke(main, [*request, "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    for name in ("m.tflite", "n.tflite"):
        signing.verify((tmp_path / "out" / name).read_bytes(), pair[1], name)
    again = CliRunner().invoke(main, [*request, "-o", str(tmp_path / "out")])
    assert again.exit_code == 1
    assert "exists already; add --force" in again.output
    forced = CliRunner().invoke(main, [*request, "-o", str(tmp_path / "out"), "--force"])
    assert forced.exit_code == 0
    made = CliRunner().invoke(main, [*request, "-o", str(tmp_path / "nowhere" / "new")])
    assert made.exit_code == 0
    assert len(list((tmp_path / "nowhere" / "new").iterdir())) == 2
    wrong = CliRunner().invoke(main, [*request, "-o", str(model)])
    assert wrong.exit_code == 2
    assert "m.tflite: not a folder" in wrong.output


def _signed(*words: object) -> tuple[int, str]:
    from click.testing import CliRunner

    from edgekit.cli import main

    done = CliRunner().invoke(main, ["sign", *map(str, words)])
    return done.exit_code, done.output


@pytest.fixture
def key(tmp_path: Path, pair: tuple[bytes, bytes]) -> Path:
    path = tmp_path / "key.pem"
    path.write_bytes(pair[0])
    return path


def test_the_private_key_is_never_written_over(model: Path, key: Path, tmp_path: Path) -> None:
    before = key.read_bytes()
    (tmp_path / "link.pem").symlink_to(key)
    (tmp_path / "other.pem").hardlink_to(key)
    for name in ("key.pem", "link.pem", "other.pem"):
        code, told = _signed(model, "--key", key, "-o", tmp_path / name, "--force")
        assert code == 2
        assert f"{name}: is the private key; name a model file" in told
        with pytest.raises(UsageError, match="is the private key"):
            signing.sign(model, key, tmp_path / name)
    assert key.read_bytes() == before


def test_a_key_among_the_files_or_in_the_folder_is_refused_before_all(
    model: Path, key: Path, tmp_path: Path
) -> None:
    before = model.read_bytes()
    assert _signed(model, key, "--key", key)[0] == 2
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "m.tflite").symlink_to(key)
    assert _signed(model, "--key", key, "-o", tmp_path / "out", "--force")[0] == 2
    assert model.read_bytes() == before


def test_a_folder_by_its_slash_is_made(model: Path, key: Path, tmp_path: Path) -> None:
    code, told = _signed(model, "--key", key, "-o", f"{tmp_path}/new/")
    assert code == 0, told
    assert (tmp_path / "new" / "m.tflite").is_file()


def test_a_bad_file_does_not_keep_the_rest_from_being_signed(
    model: Path, key: Path, pair: tuple[bytes, bytes], tmp_path: Path
) -> None:
    (tmp_path / "boot.png").write_bytes(b"picture")
    last = tmp_path / "n.tflite"
    last.write_bytes(model.read_bytes())
    code, told = _signed(model, tmp_path / "boot.png", tmp_path / "no", last, "--key", key)
    assert code == 1
    assert told.count("Error: ") == 2
    assert told.count(": signed") == 2
    assert "convert the model again" not in told
    signing.verify(last.read_bytes(), pair[1], "n")


def test_files_of_one_name_do_not_go_into_one_folder(
    model: Path, key: Path, tmp_path: Path
) -> None:
    (tmp_path / "more").mkdir()
    other = tmp_path / "more" / "m.tflite"
    other.write_bytes(model.read_bytes())
    code, told = _signed(model, other, "--key", key, "-o", tmp_path / "out")
    assert code == 2
    assert "two files are called m.tflite" in told


def test_a_public_key_may_be_its_32_bytes(model: Path, pair: tuple[bytes, bytes]) -> None:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_public_key,
    )

    raw = load_pem_public_key(pair[1]).public_bytes(Encoding.Raw, PublicFormat.Raw)
    signing.sign(model, pair[0])
    signing.verify(model.read_bytes(), raw, "m")
    with pytest.raises(VerificationError, match="does not belong to this public key"):
        signing.verify(model.read_bytes(), bytes(32), "m")


@pytest.mark.parametrize(
    "words",
    [["", "--key", "KEY"], ["FILE", "--key", ""], ["FILE", "--key", "KEY", "-o", ""]],
    ids=["file", "key", "out"],
)
def test_an_empty_path_is_called_so_and_nothing_is_signed(
    words: list[str], model: Path, key: Path
) -> None:
    from click.testing import CliRunner

    from edgekit.cli import main

    before = model.read_bytes()
    given = [{"FILE": str(model), "KEY": str(key)}.get(word, word) for word in words]
    done = CliRunner().invoke(main, ["sign", *given, "--force"])
    assert done.exit_code == 2
    assert "the path is empty; see" in done.stderr
    assert model.read_bytes() == before
