"""The keys of an `[endpoints.NAME]` with `protocol = "sftp"`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from batchxfer.definitions import Complaint, EndpointOptions, SecretRef
from batchxfer.endpoints.sftp.hostkeys import read_fingerprint
from batchxfer.fields import Line

Fingerprint = Annotated[str, AfterValidator(read_fingerprint)]

WAYS_IN = ("private_key", "password", "agent")


class Options(EndpointOptions):
    """An SFTP server, and how to log in there."""

    protocol: Literal["sftp"] = Field(default="sftp", description="sftp.")
    host: Line = Field(min_length=1, pattern=r"^[^\s/@\[\]]+$", description="The server's name or address.")
    port: int = Field(default=22, ge=1, le=65535, description="The server's port.")
    user: Line = Field(min_length=1, description="Whom to log in as.")
    private_key: Line | SecretRef | None = Field(
        default=None, description="Path of the private key, or { env } that holds the key's text."
    )
    passphrase: SecretRef | None = Field(default=None, description="Where the private key's passphrase is found.")
    password: SecretRef | None = Field(
        default=None, description="Where the password is found; answers keyboard-interactive too."
    )
    agent: bool = Field(default=False, description="Use the keys of the running ssh-agent.")
    host_key: tuple[Fingerprint, ...] = Field(
        default=(), description="Fingerprints of the server's keys, as ssh-keygen -l prints them: SHA256:…"
    )
    known_hosts: Line | None = Field(
        default=None, min_length=1, description="Path of a known_hosts file that has the server's keys."
    )
    legacy: bool = Field(default=False, description="Allow weak algorithms, for servers that know no others.")

    @classmethod
    def complaints(cls, table: Mapping[str, Any]) -> Iterator[Complaint]:
        yield from super().complaints(table)
        if not table.get("host_key") and "known_hosts" not in table:
            yield Complaint(
                key="host_key",
                problem="one of host_key and known_hosts is required",
                hint="batchxfer hostkey HOST shows the server's fingerprints; compare them with what the partner says",
            )
        if not any(table.get(key) for key in WAYS_IN):
            yield Complaint(
                key="private_key",
                problem="one way to log in is required",
                hint='write private_key = "PATH", password = { env = "NAME" }, or agent = true',
            )
        if "passphrase" in table and "private_key" not in table:
            yield Complaint(key="passphrase", problem="is for a private_key, and there is none")
        private_key = table.get("private_key")
        if isinstance(private_key, Mapping) and "file" in private_key:
            yield Complaint(
                key="private_key",
                problem="takes a path, or { env } that holds the key's text",
                hint='write private_key = "PATH"',
            )
        if isinstance(private_key, str) and "PRIVATE KEY" in private_key:
            yield Complaint(
                key="private_key",
                problem="holds a key itself, which everyone who reads this file could use",
                hint='write private_key = "PATH", or { env = "NAME" }',
            )
