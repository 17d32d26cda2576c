"""Secrets are found where the configuration says, and shown nowhere."""

from __future__ import annotations

import copy
import logging
import os
import pickle
import traceback
from pathlib import Path

import orjson
import pytest

from batchxfer.credentials import Secret, path_of, peek, resolve, secrets_of, without_secrets
from batchxfer.definitions import Config, DatabaseOptions, SecretRef
from batchxfer.errors import CredentialError


def written(path: Path, content: bytes, mode: int = 0o600) -> SecretRef:
    path.write_bytes(content)
    path.chmod(mode)
    return SecretRef(file=path.name)


def test_a_secret_comes_from_the_environment(tmp_path: Path) -> None:
    assert resolve(SecretRef(env="PW"), tmp_path, environment={"PW": "s3cret"}).reveal() == "s3cret"


def test_the_real_environment_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHXFER_TEST_PW", "s3cret")
    assert resolve(SecretRef(env="BATCHXFER_TEST_PW"), tmp_path).reveal() == "s3cret"


@pytest.mark.parametrize(("environment", "state"), [({}, "not set"), ({"PW": ""}, "empty")])
def test_a_variable_without_a_value_is_an_error(environment: dict[str, str], state: str, tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match=f"the environment variable PW is {state}"):
        resolve(SecretRef(env="PW"), tmp_path, environment=environment)


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"s3cret", "s3cret"),
        (b"s3cret\n", "s3cret"),
        (b"s3cret\r\n", "s3cret"),
        (b"a\nb\n\n", "a\nb\n"),
        (b" x ", " x "),
    ],
)
def test_one_newline_at_the_end_of_a_file_is_not_the_secrets(content: bytes, secret: str, tmp_path: Path) -> None:
    assert resolve(written(tmp_path / "pw", content), tmp_path).reveal() == secret


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "is empty"), (b"\n", "is empty"), (b"s3cr\xff", "is not UTF-8"), (b"x" * 70000, "is larger than 64 KiB")],
)
def test_a_file_that_holds_no_secret_is_an_error(content: bytes, why: str, tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match=why) as caught:
        resolve(written(tmp_path / "pw", content), tmp_path)
    assert "s3cr" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("name", ["absent", "."])
def test_a_file_that_cannot_be_read_is_an_error_with_its_path(name: str, tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match="cannot be read: "):
        resolve(SecretRef(file=name), tmp_path)


@pytest.mark.parametrize("text", ["$CREDENTIALS_DIRECTORY/pw", "${CREDENTIALS_DIRECTORY}/pw"])
def test_systemds_credentials_are_files(text: str, tmp_path: Path) -> None:
    written(tmp_path / "pw", b"s3cret\n")
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert resolve(SecretRef(file=text), Path("elsewhere"), environment=environment).reveal() == "s3cret"
    with pytest.raises(CredentialError, match="CREDENTIALS_DIRECTORY is not set"):
        resolve(SecretRef(file=text), tmp_path, environment={})


def test_other_dollars_in_a_path_are_its_own(tmp_path: Path) -> None:
    assert (
        path_of("a$HOME/$CREDENTIALS_DIRECTORYX", tmp_path, environment={})
        == tmp_path / "a$HOME/$CREDENTIALS_DIRECTORYX"
    )


def test_a_secret_file_that_others_can_read_is_warned_about_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ref = written(tmp_path / "pw", b"s3cret", 0o644)
    with caplog.at_level(logging.WARNING):
        resolve(ref, tmp_path)
        resolve(ref, tmp_path)
    assert [record.action for record in caplog.records] == ["secret_file_readable"]  # type: ignore[attr-defined]
    assert "s3cret" not in caplog.text


def test_a_secret_file_of_ones_own_is_not_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    resolve(written(tmp_path / "pw", b"s3cret", 0o400), tmp_path)
    assert not caplog.records


def test_a_secret_shows_itself_nowhere() -> None:
    secret = Secret("s3cret")
    shown = f"{secret} {secret!r} {secret!s} {secret:>20} {[secret]} { ({'a': secret}) } %s %r" % (secret, secret)
    assert "s3cret" not in shown
    for write in (orjson.dumps, pickle.dumps, copy.copy):
        with pytest.raises(TypeError):
            write(secret)
    assert not hasattr(secret, "__dict__")


def test_secrets_are_compared_by_what_they_hold() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1


def test_a_machines_name_is_no_secret_to_warn_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert resolve(written(tmp_path / "name", b"prod\n", 0o644), tmp_path, public=True).reveal() == "prod"
    assert not caplog.records


# before anybody uses them


def test_a_look_ahead_says_nothing_of_a_secret_that_is_not_there_and_takes_nothing_from_a_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PW", "s3cret")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "pw").write_text("of a file\n")
    assert peek(SecretRef(env="PW"), tmp_path) == "s3cret"
    assert peek(SecretRef(file="pw"), tmp_path) == "of a file"
    for ref in (SecretRef(env="NOT_SET"), SecretRef(file="absent"), SecretRef(file="pipe"), SecretRef(file="x" * 5000)):
        assert peek(ref, tmp_path) is None


def test_a_command_is_given_no_variable_that_holds_a_secret() -> None:
    config = Config(
        ledger_password=SecretRef(env="LEDGER_PW"),
        environment=SecretRef(env="MACHINE"),
        databases={"shop": DatabaseOptions(url=SecretRef(env="URL"), password=SecretRef(env="PW"))},
    )
    assert {ref.env for ref in secrets_of(config)} == {"LEDGER_PW", "URL", "PW"}
    told = dict.fromkeys(["LEDGER_PW", "URL", "PW", "MACHINE", "PATH"], "x")
    assert sorted(without_secrets(config, told)) == ["MACHINE", "PATH"]
