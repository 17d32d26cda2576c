"""What the demo plays on: a folder with the example project, a shop, keys, and the partners' server on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import paramiko

import batchxfer
from batchxfer.demo import keys
from batchxfer.demo.server import Account, Partner
from batchxfer.demo.shop import create_shop
from batchxfer.errors import UsageError

MARK = ".batchxfer-demo"
PARTNERS = {
    "bank": ["in"],
    "crm": ["inbox"],
    "warehouse": ["inbox", "stock", "returns", "outbox", "archive"],
    "accounting": ["sales"],
}
BY_PASSWORD = {"warehouse"}
PASSWORD = "only-for-the-demo"  # noqa: S105  its server listens on this machine only, while the demo runs

# What the warehouse shipped; its third record is not as agreed.
SHIPMENTS = """\
parcel,order_id,carrier,weight_kg,shipped_at\r
HL-20481,506712,Hangang Express,0.42,2026-11-23T16:05:00+00:00\r
HL-20482,506713,"Post, registered",1.90,2026-11-23T16:20:30+00:00\r
HL-20483,5067i4,Hangang Express,0.35,2026-11-23T16:21:00+00:00\r
HL-20484,506715,Hangang Express,,\r
"""

# What config.example.toml says until somebody knows better.
EXAMPLE_PORT = "port = 2222"
EXAMPLE_PIN = "SHA256:ChangeMeToWhatBatchxferHostkeyPrintsForYou0"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """`folder` holds the project; `partners` one folder for each partner's account; `impostor` is another host key."""

    folder: Path
    partner: Partner
    impostor: paramiko.PKey

    def leave_shipments(self, name: str) -> Path:
        """The warehouse leaves a file to be fetched, and then the file that says that it is complete."""
        path = self.remote("warehouse", f"outbox/{name}")
        path.write_text(SHIPMENTS, encoding="utf-8", newline="")
        path.with_name(f"{name}.done").touch()
        return path

    @property
    def partners(self) -> Path:
        return self.folder / "partners"

    def remote(self, endpoint: str, path: str) -> Path:
        """Where a delivered file lies, on the partner's side."""
        root = self.partners / endpoint if endpoint in PARTNERS else self.folder / "var" / endpoint
        return root / path


@contextmanager
def stage(folder: Path, now: datetime) -> Iterator[Stage]:
    """Build everything in `folder`, anew where an earlier demo stands; the server ends with the context.

    Raises UsageError when something else is in the folder.
    """
    try:
        _clear(folder)
    except OSError as exc:
        raise UsageError(
            f"cannot make {folder} anew: {exc.strerror}", hint="name another: batchxfer demo my-demo"
        ) from exc
    keys.create(folder / "var/keys/shop_ed25519")
    keys.create(folder / "server/host_key")
    keys.create(folder / "server/impostor_key")
    keys.write_private(folder / "var/keys/warehouse-password", f"{PASSWORD}\n".encode())
    create_shop(folder / "var/shop.db", now)
    (folder / "var/printer").mkdir()
    with Partner(_accounts(folder), keys.load(folder / "server/host_key")) as partner:
        _write_project(folder, partner)
        yield Stage(folder=folder, partner=partner, impostor=keys.load(folder / "server/impostor_key"))


def example() -> Path:
    """The example project: in an installed package beside the code, in a checkout at its top."""
    package = Path(batchxfer.__file__).parent
    return package / "example" if (package / "example").is_dir() else package.parent


def _clear(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    if folder.exists() and not (folder / MARK).is_file():
        raise UsageError(f"{folder} is there, and no demo made it", hint="name another: batchxfer demo my-demo")
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARK).write_text("`batchxfer demo` made this folder, and makes it anew each time.\n", encoding="utf-8")


def _accounts(folder: Path) -> dict[str, Account]:
    fingerprint = keys.load(folder / "var/keys/shop_ed25519").fingerprint
    accounts = {}
    for name, below in PARTNERS.items():
        home = folder / "partners" / name
        for part in below:
            (home / part).mkdir(parents=True)
        by_password = name in BY_PASSWORD
        accounts[name] = Account(
            folder=home,
            key_fingerprint=None if by_password else fingerprint,
            password=PASSWORD if by_password else None,
        )
    return accounts


def _write_project(folder: Path, partner: Partner) -> None:
    """Jobs and formats as they are; in the configuration, where the server is and which key it has."""
    source = example()
    for part in ("jobs", "formats"):
        shutil.copytree(source / part, folder / part)
    path = next(path for path in (source / "config.example.toml", source / "config.toml") if path.is_file())
    text = path.read_text("utf-8")
    for said, known in ((EXAMPLE_PORT, f"port = {partner.port}"), (EXAMPLE_PIN, partner.fingerprint)):
        if said not in text:
            raise LookupError(f"{path.name} does not say {said!r}")
        text = text.replace(said, known)
    (folder / "config.toml").write_text(text, encoding="utf-8")
