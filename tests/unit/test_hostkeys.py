"""Which keys a server may show: fingerprints, and known_hosts as OpenSSH writes it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct

import pytest

from batchxfer.endpoints.sftp.hostkeys import (
    KEY_TYPES,
    HostKey,
    Judgement,
    Pins,
    fingerprint,
    read_fingerprint,
    read_known_hosts,
)

# `ssh-keygen -l` of this key prints SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU (GitHub's published ed25519 key).
GITHUB = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
GITHUB_FINGERPRINT = "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"


def blob(kind: str, content: bytes) -> bytes:
    return struct.pack(">I", len(kind)) + kind.encode() + content


def line(hosts: str, key: bytes, kind: str = "ssh-ed25519", marker: str = "") -> bytes:
    text = f"{hosts} {kind} {base64.b64encode(key).decode()} a comment\n"
    return (f"{marker} {text}" if marker else text).encode()


def hashed(host: str) -> str:
    salt = b"salt of twenty bytes"
    digest = hmac.new(salt, host.encode(), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


ONE, TWO = blob("ssh-ed25519", b"one"), blob("ssh-ed25519", b"two")


def prints(content: bytes, host: str = "sftp.bank.eu", port: int = 22) -> list[str]:
    return [key.fingerprint for key in read_known_hosts(content, host, port).keys]


def test_a_fingerprint_is_what_ssh_keygen_prints() -> None:
    assert fingerprint(base64.b64decode(GITHUB)) == GITHUB_FINGERPRINT


@pytest.mark.parametrize("text", [GITHUB_FINGERPRINT, f" {GITHUB_FINGERPRINT}= "])
def test_a_fingerprint_may_have_padding_and_spaces(text: str) -> None:
    assert read_fingerprint(text) == GITHUB_FINGERPRINT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SHA256:",
        GITHUB_FINGERPRINT[:-1],
        GITHUB_FINGERPRINT + "A",
        GITHUB_FINGERPRINT.removeprefix("SHA256:"),
        "sha256:" + GITHUB_FINGERPRINT[7:],
        "MD5:16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48",
        f"ssh-ed25519 {GITHUB}",
    ],
)
def test_what_is_not_a_fingerprint_is_refused_with_how_one_looks(text: str) -> None:
    with pytest.raises(ValueError, match="is not a fingerprint: SHA256: and 43 characters, as ssh-keygen -l prints it"):
        read_fingerprint(text)


def test_two_keys_of_one_type_both_count() -> None:
    content = line("sftp.bank.eu", ONE) + line("sftp.bank.eu", TWO)
    assert prints(content) == [fingerprint(ONE), fingerprint(TWO)]


@pytest.mark.parametrize(
    ("hosts", "host", "named"),
    [
        ("sftp.bank.eu", "sftp.bank.eu", True),
        ("sftp.bank.eu", "SFTP.Bank.EU", True),
        ("SFTP.bank.eu", "sftp.bank.eu", True),
        ("sftp.bank.eu", "sftp.bank.eu.evil.com", False),
        ("sftp.bank.eu", "sftpXbank.eu", False),
        ("a,sftp.bank.eu,10.0.0.1", "10.0.0.1", True),
        ("*.bank.eu", "sftp.bank.eu", True),
        ("*.bank.eu", "bank.eu", False),
        ("sftp?.bank.eu", "sftp1.bank.eu", True),
        ("*.bank.eu,!test.bank.eu", "test.bank.eu", False),
        ("!test.bank.eu,*.bank.eu", "test.bank.eu", False),
        ("*.bank.eu,!test.bank.eu", "sftp.bank.eu", True),
        ("!test.bank.eu", "sftp.bank.eu", False),
        (hashed("sftp.bank.eu"), "sftp.bank.eu", True),
        (hashed("sftp.bank.eu"), "SFTP.bank.eu", True),
        (hashed("other.bank.eu"), "sftp.bank.eu", False),
        ("|1|broken", "sftp.bank.eu", False),
        ("2001:db8::1", "2001:db8::1", True),
    ],
)
def test_a_line_names_hosts_by_patterns_or_hashes(hosts: str, host: str, named: bool) -> None:
    assert prints(line(hosts, ONE), host) == ([fingerprint(ONE)] if named else [])


def test_a_port_has_its_own_lines_and_else_those_of_the_host() -> None:
    plain, port = line("sftp.bank.eu", ONE), line("[sftp.bank.eu]:2222", TWO)
    assert prints(plain + port, port=22) == [fingerprint(ONE)]
    assert prints(plain + port, port=2222) == [fingerprint(TWO)]
    assert prints(plain, port=2222) == [fingerprint(ONE)]
    assert prints(port, port=2223) == []
    assert prints(line(hashed("[sftp.bank.eu]:2222"), TWO), port=2222) == [fingerprint(TWO)]


def test_a_revoked_key_is_refused_even_where_it_is_pinned_too() -> None:
    content = line("sftp.bank.eu", ONE) + line("*", ONE, marker="@revoked") + line("sftp.bank.eu", TWO)
    pins = read_known_hosts(content, "sftp.bank.eu", 22)
    assert pins.judge(HostKey(type="ssh-ed25519", fingerprint=fingerprint(ONE))) is Judgement.REVOKED
    assert pins.judge(HostKey(type="ssh-ed25519", fingerprint=fingerprint(TWO))) is Judgement.PINNED


def test_a_key_revoked_for_the_host_is_revoked_on_every_port() -> None:
    content = line("[sftp.bank.eu]:2222", ONE) + line("sftp.bank.eu", ONE, marker="@revoked")
    pins = read_known_hosts(content, "sftp.bank.eu", 2222)
    assert pins.judge(HostKey(type=None, fingerprint=fingerprint(ONE))) is Judgement.REVOKED


def test_a_pattern_of_many_stars_is_decided_at_once() -> None:
    assert prints(line("*a" * 40 + "x", ONE), "a" * 200) == []
    assert prints(line("*a" * 40 + "*", ONE), "a" * 200) == [fingerprint(ONE)]


def test_brackets_of_a_pattern_mean_themselves() -> None:
    assert prints(line("[abc]", ONE), "a") == []
    assert prints(line("[*]:2222", ONE), "a", 2222) == [fingerprint(ONE)]


def test_a_certificate_authority_is_not_a_host_key() -> None:
    pins = read_known_hosts(line("*.bank.eu", ONE, marker="@cert-authority"), "sftp.bank.eu", 22)
    assert (pins.keys, pins.authorities) == ((), 1)


def test_lines_that_cannot_be_read_do_not_hide_the_others() -> None:
    content = (
        b"# comment\n\n\xff\xfe\n"
        b"sftp.bank.eu ssh-ed25519\n"
        b"sftp.bank.eu ssh-ed25519 not-base64!\n"
        b"sftp.bank.eu ssh-ed25519 AAAA\n"
        b"sftp.bank.eu 1024 35 123456789\n"
        b"@unknown sftp.bank.eu ssh-ed25519 " + base64.b64encode(TWO) + b"\n" + line("caf\xe9,sftp.bank.eu", ONE)
    )
    assert prints(content) == [fingerprint(ONE)]


def test_a_key_under_the_name_of_another_type_is_passed_over() -> None:
    assert prints(line("sftp.bank.eu", ONE, kind="ssh-rsa")) == []


def test_windows_line_ends_and_a_missing_last_one_are_read() -> None:
    assert prints(line("sftp.bank.eu", ONE).replace(b"\n", b"\r\n") + line("sftp.bank.eu", TWO).rstrip()) == [
        fingerprint(ONE),
        fingerprint(TWO),
    ]


def test_types_that_are_pinned_are_asked_for_first() -> None:
    rsa = blob("ssh-rsa", b"three")
    pins = read_known_hosts(line("h", rsa, kind="ssh-rsa"), "h", 22)
    assert pins.order()[0] == "ssh-rsa"
    assert sorted(pins.order()) == sorted(KEY_TYPES)
    assert not pins.any_type_possible


def test_a_fingerprint_alone_leaves_the_type_open() -> None:
    pins = Pins(keys=(HostKey(type=None, fingerprint=fingerprint(ONE)),))
    assert pins.order() == KEY_TYPES
    assert pins.any_type_possible


def test_both_ways_of_pinning_may_be_given() -> None:
    both = Pins(keys=(HostKey(type=None, fingerprint=fingerprint(ONE)),)) | read_known_hosts(line("h", TWO), "h", 22)
    assert all(
        both.judge(HostKey(type="ssh-ed25519", fingerprint=fingerprint(key))) is Judgement.PINNED for key in (ONE, TWO)
    )


def test_a_key_that_nobody_pinned_is_unknown() -> None:
    assert Pins().judge(HostKey(type="ssh-ed25519", fingerprint=fingerprint(ONE))) is Judgement.UNKNOWN
