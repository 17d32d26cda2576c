"""Host keys and logins with OpenSSH, and with a server that asks in other ways."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import asyncssh
import pytest

from batchxfer.endpoints.sftp import Options, scan_host_keys
from batchxfer.errors import AlgorithmError, CredentialError, HostKeyError, LoginRefused, NetworkError, NotSupported
from tests.servers import openssh as sshd
from tests.servers.endpoints import PASSWORD_VARIABLE, to_openssh, to_partner
from tests.servers.openssh import OpenSSH, die_with_parent, make_key, openssh_fixture  # noqa: F401
from tests.servers.partner import PASSWORD, USER, Doors, serve
from tests.servers.two_steps import wanting_key_and_password

WRONG = "SHA256:" + "A" * 43


def works(endpoint: object) -> str:
    """Connect, use the session, and return the key that the server showed."""
    session = endpoint.connect()  # type: ignore[attr-defined]
    try:
        assert session.stat("nothing") is None
        return str(session.server_key)
    finally:
        session.close()


# host keys


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_server_is_accepted_by_the_fingerprint_of_any_of_its_keys(
    openssh: OpenSSH, tmp_path: Path, kind: str
) -> None:
    endpoint = to_openssh(openssh, tmp_path, host_key=[openssh.host_key(kind)])
    assert works(endpoint) == openssh.host_key(kind)
    assert works(endpoint) == openssh.host_key(kind)


def test_the_type_that_was_right_is_asked_for_first_from_then_on(openssh: OpenSSH, tmp_path: Path) -> None:
    endpoint = to_openssh(openssh, tmp_path, host_key=[openssh.host_key("rsa")])
    works(endpoint)
    before = openssh.log.count("Connection from")
    works(endpoint)
    assert openssh.log.count("Connection from") == before + 1


def test_several_pins_may_be_given(openssh: OpenSSH, tmp_path: Path) -> None:
    works(to_openssh(openssh, tmp_path, host_key=[WRONG, openssh.host_key()]))


def test_a_key_that_is_not_pinned_is_refused_before_any_credential(openssh: OpenSSH, tmp_path: Path) -> None:
    before = len(openssh.log)
    with pytest.raises(HostKeyError) as raised:
        to_openssh(openssh, tmp_path, host_key=[WRONG]).connect()
    message = str(raised.value)
    assert message.startswith(f"endpoint 'partner': 127.0.0.1:{openssh.port} shows the key ssh-ed25519 ")
    assert openssh.host_key() in message
    assert WRONG in message
    assert f"batchxfer hostkey 127.0.0.1:{openssh.port}" in (raised.value.hint or "")
    new = openssh.log[before:]
    assert "publickey" not in new
    assert "userauth" not in new


def test_no_password_reaches_a_server_whose_key_is_not_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    with serve(tmp_path) as partner:
        with pytest.raises(HostKeyError):
            to_partner(partner, host_key=[WRONG]).connect()
        assert partner.doors.asked == []


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("form", ["plain", "hashed", "wildcard"])
def test_known_hosts_is_read_as_openssh_reads_it(openssh: OpenSSH, tmp_path: Path, kind: str, form: str) -> None:
    known_hosts = tmp_path / "known_hosts"
    name = "*" if form == "wildcard" else f"[127.0.0.1]:{openssh.port}"
    known_hosts.write_text(f"{name} {openssh.host_key_line(kind)}\n")
    if form == "hashed":
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(known_hosts)], check=True, capture_output=True)
        assert known_hosts.read_text().startswith("|1|")
    endpoint = to_openssh(openssh, tmp_path, host_key=None, known_hosts=str(known_hosts))
    assert works(endpoint) == openssh.host_key(kind)


def test_what_ssh_keyscan_writes_is_enough(openssh: OpenSSH, tmp_path: Path) -> None:
    scanned = subprocess.run(
        ["ssh-keyscan", "-p", str(openssh.port), "127.0.0.1"], check=True, capture_output=True, text=True
    )
    (tmp_path / "known_hosts").write_text(scanned.stdout)
    works(to_openssh(openssh, tmp_path, host_key=None, known_hosts=str(tmp_path / "known_hosts")))


def test_an_old_and_a_new_key_of_one_type_may_both_be_known(openssh: OpenSSH, tmp_path: Path) -> None:
    old = " ".join(make_key(tmp_path / "old").with_suffix(".pub").read_text().split()[:2])
    (tmp_path / "known_hosts").write_text(f"127.0.0.1 {old}\n127.0.0.1 {openssh.host_key_line()}\n")
    works(to_openssh(openssh, tmp_path, host_key=None, known_hosts=str(tmp_path / "known_hosts")))


def test_a_revoked_key_is_refused(openssh: OpenSSH, tmp_path: Path) -> None:
    line = openssh.host_key_line()
    (tmp_path / "known_hosts").write_text(f"* {line}\n@revoked * {line}\n")
    with pytest.raises(HostKeyError, match="marks as revoked"):
        to_openssh(openssh, tmp_path, host_key=None, known_hosts=str(tmp_path / "known_hosts")).connect()


@pytest.mark.parametrize(
    ("content", "reason"), [("", "has no key of it"), ("@cert-authority * {line}\n", "only a certificate authority")]
)
def test_a_known_hosts_without_the_host_says_what_the_server_shows(
    openssh: OpenSSH, tmp_path: Path, content: str, reason: str
) -> None:
    (tmp_path / "known_hosts").write_text(content.format(line=openssh.host_key_line()))
    with pytest.raises(HostKeyError, match=reason) as raised:
        to_openssh(openssh, tmp_path, host_key=None, known_hosts=str(tmp_path / "known_hosts")).connect()
    assert openssh.host_key() in str(raised.value)


def test_a_known_hosts_that_cannot_be_read_is_told_before_connecting(openssh: OpenSSH, tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match=r"known_hosts .* cannot be read: No such file"):
        to_openssh(openssh, tmp_path, host_key=None, known_hosts="nothing", port=1).connect()


def test_the_keys_of_a_server_are_shown_without_logging_in(openssh: OpenSSH) -> None:
    before = len(openssh.log)
    shown = scan_host_keys(openssh.host, openssh.port, 5)
    assert dict(shown) == {
        "ssh-ed25519": openssh.host_key(),
        "ecdsa-sha2-nistp256": openssh.host_key("ecdsa"),
        "ssh-rsa": openssh.host_key("rsa"),
    }
    assert "userauth" not in openssh.log[before:]
    with pytest.raises(NetworkError, match=r"cannot connect|ask 127"):
        scan_host_keys("127.0.0.1", 1, 1)


# private keys

KINDS = {
    "rsa": ("rsa", "-b", "2048"),
    "rsa-pem": ("rsa", "-b", "2048", "-m", "PEM"),
    "rsa-pkcs8": ("rsa", "-b", "2048", "-m", "PKCS8"),
    "ecdsa-256": ("ecdsa", "-b", "256"),
    "ecdsa-384-pem": ("ecdsa", "-b", "384", "-m", "PEM"),
    "ecdsa-521-pkcs8": ("ecdsa", "-b", "521", "-m", "PKCS8"),
    "ed25519": ("ed25519",),
}


@pytest.mark.parametrize("passphrase", ["", "geheim ÄÖ"])
@pytest.mark.parametrize("kind", KINDS)
def test_keys_of_every_type_and_format_log_in(
    openssh: OpenSSH, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, passphrase: str
) -> None:
    key = make_key(tmp_path / "key", *KINDS[kind], passphrase=passphrase)
    openssh.allow(key)
    monkeypatch.setenv("KEY_PASSPHRASE", passphrase or "not needed")
    works(to_openssh(openssh, tmp_path, private_key=str(key), passphrase={"env": "KEY_PASSPHRASE"}))
    monkeypatch.setenv("KEY_TEXT", key.read_text().rstrip("\n"))
    works(to_openssh(openssh, tmp_path, private_key={"env": "KEY_TEXT"}, passphrase={"env": "KEY_PASSPHRASE"}))


def test_a_key_is_found_relative_to_the_configuration(openssh: OpenSSH, tmp_path: Path) -> None:
    works(to_openssh(openssh, tmp_path, private_key="user_ed25519"))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_key_that_others_can_read_is_refused_before_connecting(openssh: OpenSSH, tmp_path: Path, mode: int) -> None:
    key = Path(shutil.copy(openssh.private_key, tmp_path / "key"))
    key.chmod(mode)
    with pytest.raises(
        CredentialError, match=rf"private key .*key can be read .* others \(mode {mode:04o}\)"
    ) as raised:
        to_openssh(openssh, tmp_path, private_key=str(key), port=1).connect()
    assert raised.value.hint == f"chmod 600 {key}"


def test_an_encrypted_key_without_its_passphrase_says_so(openssh: OpenSSH, tmp_path: Path) -> None:
    for name, kind in (("a", ("ed25519",)), ("b", ("rsa", "-m", "PEM")), ("c", ("ecdsa", "-m", "PKCS8"))):
        key = make_key(tmp_path / name, *kind, passphrase="geheim")
        with pytest.raises(CredentialError, match="is encrypted, and there is no passphrase"):
            to_openssh(openssh, tmp_path, private_key=str(key)).connect()


def test_a_wrong_passphrase_says_so_and_shows_neither_it_nor_the_key(
    openssh: OpenSSH, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY_PASSPHRASE", "wrongpassphrase")
    for name, kind in (("a", ("ed25519",)), ("b", ("rsa", "-m", "PEM")), ("c", ("ecdsa", "-m", "PKCS8"))):
        key = make_key(tmp_path / name, *kind, passphrase="geheim")
        with pytest.raises(CredentialError, match="is damaged, or the passphrase is wrong") as raised:
            to_openssh(openssh, tmp_path, private_key=str(key), passphrase={"env": "KEY_PASSPHRASE"}).connect()
        assert "wrongpassphrase" not in f"{raised.value} {raised.value.hint} {raised.value.__cause__!r}"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "is not a private key"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI me@here\n", "is not a private key"),
        ("PuTTY-User-Key-File-3: ssh-ed25519\n", "PuTTY's format"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", "is damaged"),
        ("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n", "is damaged"),
    ],
)
def test_a_file_that_is_no_usable_key_says_what_it_is(
    openssh: OpenSSH, tmp_path: Path, content: str, reason: str
) -> None:
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_text(content)
    with pytest.raises(CredentialError, match=reason):
        to_openssh(openssh, tmp_path, private_key=str(key)).connect()


def test_a_public_key_is_told_as_one_although_others_can_read_it(openssh: OpenSSH, tmp_path: Path) -> None:
    public = f"{openssh.private_key}.pub"
    with pytest.raises(CredentialError, match="is not a private key") as raised:
        to_openssh(openssh, tmp_path, private_key=public).connect()
    assert raised.value.hint == "give the private key, not the .pub file beside it"


def test_a_variable_without_a_key_in_it_is_told_as_one(
    openssh: OpenSSH, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", "no key")
    with pytest.raises(CredentialError, match="what is in the environment variable THE_KEY is not a private key"):
        to_openssh(openssh, tmp_path, private_key={"env": "THE_KEY"}).connect()


def test_a_key_file_that_is_missing_is_told_with_its_path(openssh: OpenSSH, tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match=r"private key .*nothing cannot be read: No such file or directory"):
        to_openssh(openssh, tmp_path, private_key="nothing").connect()


def test_a_secret_that_is_missing_names_the_endpoint(
    openssh: OpenSSH, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_SECRET", raising=False)
    for keys in ({"password": {"env": "NO_SUCH_SECRET"}}, {"passphrase": {"env": "NO_SUCH_SECRET"}}):
        with pytest.raises(
            CredentialError, match=r"^endpoint 'partner': the environment variable NO_SUCH_SECRET is not"
        ):
            to_openssh(openssh, tmp_path, **keys).connect()


# logging in


def test_a_key_that_the_server_does_not_know_is_a_refused_login(openssh: OpenSSH, tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    with pytest.raises(LoginRefused, match=rf"refused the login of '{openssh.user}' \(tried: publickey"):
        to_openssh(openssh, tmp_path, private_key=str(key)).connect()


def test_a_server_that_hangs_up_after_a_refused_login_has_refused_it(tmp_path: Path) -> None:
    server = sshd.start(tmp_path, host_keys=("ed25519",), configuration="MaxAuthTries 1")
    try:
        with pytest.raises(LoginRefused, match=r"[Tt]oo many authentication failures"):
            to_openssh(server, tmp_path, private_key=str(make_key(tmp_path / "key"))).connect()
    finally:
        server.stop()


def test_a_server_without_sftp_says_so(tmp_path: Path) -> None:
    server = sshd.start(tmp_path, host_keys=("ed25519",))
    server.stop()
    text = (tmp_path / "sshd_config").read_text().replace("Subsystem sftp internal-sftp", "")
    (tmp_path / "sshd_config").write_text(text)
    process = subprocess.Popen(
        ["/usr/sbin/sshd", "-D", "-e", "-f", str(tmp_path / "sshd_config")],
        stderr=subprocess.DEVNULL,
        preexec_fn=die_with_parent,
    )
    try:
        sshd.wait_until_listening(server.host, server.port)
        with pytest.raises(NotSupported, match="has no SFTP for this user"):
            to_openssh(server, tmp_path).connect()
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)


@pytest.mark.usefixtures("password")
def test_a_password_logs_in(tmp_path: Path) -> None:
    with serve(tmp_path) as partner:
        assert works(to_partner(partner)) == partner.fingerprint
        assert partner.doors.asked == ["password"]


def test_a_wrong_password_is_tried_once_and_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "wrong-secret")
    with serve(tmp_path, doors=Doors(questions=("Password:",))) as partner:
        with pytest.raises(LoginRefused) as raised:
            to_partner(partner).connect()
        assert partner.doors.asked == ["password"]
    assert "wrong-secret" not in f"{raised.value!r} {raised.value.hint}"
    assert "tried: password" in str(raised.value)


def test_a_server_that_only_asks_questions_is_answered_with_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "open sesame")
    with serve(tmp_path, doors=Doors(password=None, questions=("Password: ",))) as partner:
        works(to_partner(partner))
        assert partner.doors.answers == ["open sesame"]


def test_a_wrong_answer_is_given_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "wrong")
    with serve(tmp_path, doors=Doors(password=None, questions=("Password: ",))) as partner:
        with pytest.raises(LoginRefused, match="keyboard-interactive"):
            to_partner(partner).connect()
        assert partner.doors.answers.count("wrong") == 1


@pytest.mark.usefixtures("password")
def test_a_key_that_is_refused_does_not_keep_the_password_from_being_tried(tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    with serve(tmp_path / "root", doors=Doors(keys=("SHA256:other",))) as partner:
        works(to_partner(partner, private_key=str(key)))
        assert partner.doors.asked[-1] == "password"


@pytest.mark.usefixtures("password")
def test_a_server_that_wants_key_and_password_gets_both(openssh: OpenSSH, tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    keys = {"private_key": str(key), "password": {"env": PASSWORD_VARIABLE}, "user": USER}
    with wanting_key_and_password(sshd.fingerprint(key)) as (port, pin, asked):
        session = to_openssh(openssh, tmp_path, port=port, host_key=[pin], **keys).connect()
        assert session.describe()["authentication"] == ["publickey", "password"]
        session.close()
        assert asked == ["publickey", "password"]


def test_half_a_login_is_a_refused_one(openssh: OpenSSH, tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    with (
        wanting_key_and_password(sshd.fingerprint(key)) as (port, pin, _),
        pytest.raises(LoginRefused, match=r"tried: publickey; it takes: password"),
    ):
        to_openssh(openssh, tmp_path, port=port, host_key=[pin], private_key=str(key), user=USER).connect()


def test_the_agent_is_used_only_when_asked(openssh: OpenSSH, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("ssh-agent") is None:
        sshd.missing("ssh-agent")
    key = make_key(tmp_path / "key")
    openssh.allow(key)
    with tempfile.TemporaryDirectory() as folder:
        address = f"{folder}/agent"
        agent = subprocess.Popen(
            ["ssh-agent", "-D", "-a", address], stdout=subprocess.DEVNULL, preexec_fn=die_with_parent
        )
        try:
            while not Path(address).exists():
                pass
            monkeypatch.setenv("SSH_AUTH_SOCK", address)
            subprocess.run(["ssh-add", "-q", str(key)], check=True, env=os.environ, capture_output=True)
            works(to_openssh(openssh, tmp_path, private_key=None, agent=True))
            unknown = make_key(tmp_path / "unknown")
            with pytest.raises(LoginRefused):
                to_openssh(openssh, tmp_path, private_key=str(unknown)).connect()
        finally:
            agent.terminate()
            agent.wait(10)


def test_an_agent_that_is_not_there_is_a_matter_of_credentials(
    openssh: OpenSSH, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "nothing"))
    with pytest.raises(CredentialError, match="ssh-agent has no key"):
        to_openssh(openssh, tmp_path, private_key=None, agent=True).connect()


# algorithms


@pytest.mark.parametrize(
    ("configuration", "helped"),
    [
        ("Ciphers aes128-cbc,3des-cbc", True),
        ("Ciphers aes128-ctr\nMACs hmac-sha1", True),
        ("KexAlgorithms diffie-hellman-group14-sha1", False),
        ("HostKeyAlgorithms ssh-rsa", False),
    ],
)
def test_weak_algorithms_are_refused_unless_legacy_allows_them(
    tmp_path: Path, configuration: str, helped: bool
) -> None:
    server = sshd.start(tmp_path, configuration=configuration)
    try:
        with pytest.raises(AlgorithmError, match="no common algorithm") as raised:
            to_openssh(server, tmp_path, host_key=[server.host_key("rsa")]).connect()
        assert "legacy = true" in (raised.value.hint or "")
        assert "paramiko<5" in (raised.value.hint or "")
        legacy = to_openssh(server, tmp_path, host_key=[server.host_key("rsa")], legacy=True)
        if helped or has_sha1():
            works(legacy)
        else:
            with pytest.raises(AlgorithmError, match="paramiko has") as raised:
                legacy.connect()
            assert "paramiko 4" in (raised.value.hint or "")
    finally:
        server.stop()


def has_sha1() -> bool:
    import paramiko

    return int(paramiko.__version__.split(".")[0]) < 5


def test_the_fastest_cipher_is_agreed_on(openssh: OpenSSH, tmp_path: Path) -> None:
    session = to_openssh(openssh, tmp_path).connect()
    said = session.describe()
    session.close()
    assert said["cipher"] == "aes128-gcm@openssh.com"
    assert said["write_bytes"] == 255 * 1024
    assert said["authentication"] == ["publickey"]
    assert said["key_exchange"]
    assert str(said["server"]).startswith("SSH-2.0-OpenSSH")


# what must not be heard


def test_nothing_is_printed_and_no_secret_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "a-wrong-secret")
    with caplog.at_level(logging.DEBUG), serve(tmp_path) as partner:
        with pytest.raises(LoginRefused):
            to_partner(partner).connect()
        with pytest.raises(HostKeyError):
            to_partner(partner, host_key=[WRONG]).connect()
        with pytest.raises(NetworkError):
            to_partner(partner, port=1).connect()
    told = capfd.readouterr()
    assert told.out + told.err == ""
    assert "a-wrong-secret" not in caplog.text
    assert not [record for record in caplog.records if "paramiko" in record.name]


# options


def complaints(**keys: object) -> list[str]:
    table = {"protocol": "sftp", "host": "h", "user": "u", **keys}
    return [f"{found.key}: {found.problem}" for found in Options.complaints(table)]


def test_one_way_to_know_the_server_and_one_way_in_are_required() -> None:
    assert complaints() == [
        "host_key: one of host_key and known_hosts is required",
        "private_key: one way to log in is required",
    ]
    assert complaints(known_hosts="k", agent=True) == []
    assert complaints(host_key=[WRONG], password={"env": "P"}) == []
    assert complaints(host_key=[], agent=False) == complaints()


def test_a_key_in_the_configuration_itself_is_refused() -> None:
    found = complaints(host_key=[WRONG], private_key="-----BEGIN OPENSSH PRIVATE KEY-----\n…")
    assert found == ["private_key: holds a key itself, which everyone who reads this file could use"]


def test_a_passphrase_without_a_key_is_a_mistake() -> None:
    assert complaints(host_key=[WRONG], agent=True, passphrase={"env": "P"}) == [
        "passphrase: is for a private_key, and there is none"
    ]


def test_a_fingerprint_is_checked_when_the_configuration_is_read() -> None:
    with pytest.raises(ValueError, match="SHA256: and 43 characters"):
        Options.model_validate({"protocol": "sftp", "host": "h", "user": "u", "host_key": ["SHA256:abc"]})


def test_host_keys_of_asyncssh_are_scanned_too(tmp_path: Path) -> None:
    with serve(tmp_path, host_key=asyncssh.generate_private_key("ecdsa-sha2-nistp384")) as partner:
        assert scan_host_keys(partner.host, partner.port, 5) == [("ecdsa-sha2-nistp384", partner.fingerprint)]
