"""Checksum files in the styles that are in use."""

from __future__ import annotations

import hashlib

import pytest

from batchxfer import checksums

SHA256 = hashlib.sha256(b"x").hexdigest()


def said(content: bytes, name: str = "a.csv") -> tuple[str, str] | None:
    found = checksums.of(checksums.read(content), name)
    return None if found is None else (found.algorithm, found.digest)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "{}\n",
        "{}  a.csv\n",
        "{} *a.csv\r\n",
        "  {}\ta.csv\n\n",
        "\\{}  a\\nb.csv\n",
        "{}  /data/out/a.csv\n",
        "{}  out\\a.csv\n",
        "SHA256 (a.csv) = {}\n",
        "SHA2-256(a.csv)= {}\n",
        "SHA256(a (1).csv)= {}\n",
        "sha256:{}",
        "SHA-256: {}  a.csv",
        "# made by a robot\n{}  a.csv\n",
        "\ufeff{}  a.csv\n",
    ],
)
def test_one_line_is_the_file_s_in_any_style(text: str) -> None:
    assert said(text.format(SHA256).encode()) == ("sha256", SHA256)
    assert said(text.format(SHA256.upper()).encode()) == ("sha256", SHA256)


def test_windows_writes_utf_16() -> None:
    assert said(f"{SHA256}  a.csv\r\n".encode("utf-16")) == ("sha256", SHA256)


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha224", "sha256", "sha384", "sha512"])
def test_the_length_says_which_algorithm(algorithm: str) -> None:
    digest = hashlib.new(algorithm, b"x").hexdigest()
    assert said(f"{digest}  a.csv\n".encode()) == (algorithm, digest)
    assert said(f"{algorithm.upper()} (a.csv) = {digest}\n".encode()) == (algorithm, digest)


def test_of_several_lines_the_last_that_names_the_file_counts() -> None:
    lines = f"{'1' * 64}  b.csv\n{'2' * 64}  a.csv\nnot a line\nSHA256 (in/a.csv) = {SHA256}\n{'3' * 64}\n"
    assert said(lines.encode()) == ("sha256", SHA256)
    assert said(lines.encode(), "c.csv") is None


@pytest.mark.parametrize(
    "text", ["", "a.csv", "0" * 63, "0" * 65, f"SHA3-256 (a) = {SHA256}", f"MD5 (a) = {SHA256}", "\0", "é"]
)
def test_what_is_no_checksum_is_none(text: str) -> None:
    assert checksums.read(text.encode()) == []


@pytest.mark.parametrize(
    ("text", "begun"), [("", True), ("\n", True), ("0af", True), ("a.csv", False), ("0" * 128, False)]
)
def test_a_file_that_has_only_begun_is_known(text: str, begun: bool) -> None:
    assert checksums.is_begun(text.encode()) is begun
