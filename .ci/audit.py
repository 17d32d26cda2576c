"""What the locked packages are (build/sbom.json, CycloneDX), and what flaws are known of them (pip-audit).

The SBOM needs no network. Who asks for flaws needs pip-audit from an index, and somebody to ask: where one of them is out of
reach, this says so and is no failure. A known flaw is one.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements/run.txt"
SBOM = ROOT / "build/sbom.json"
OURS = "batchxfer"
SECONDS = 300


@dataclass
class Package:
    """One locked package; `needed_by` are the packages that brought it."""

    name: str
    version: str
    marker: str = ""
    hashes: list[str] = field(default_factory=list)
    needed_by: list[str] = field(default_factory=list)

    @property
    def purl(self) -> str:
        return f"pkg:pypi/{self.name}@{self.version}"


def read_lock(text: str) -> list[Package]:
    """The packages of a lock file as uv writes it."""
    packages: list[Package] = []
    for line in text.splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)==([^\s;\\]+)\s*(?:;\s*(.*?))?\s*\\?$", line):
            packages.append(Package(match[1], match[2], match[3] or ""))
        elif packages:
            packages[-1].hashes += re.findall(r"--hash=sha256:([0-9a-f]{64})", line)
            if match := re.match(r"\s+#\s+(?:via\s+)?([A-Za-z0-9._-]+)", line):
                packages[-1].needed_by += [match[1]] if match[1] != "via" else []
    return packages


def sbom(packages: list[Package]) -> dict[str, object]:
    """A CycloneDX document; the same packages give the same document."""
    version = re.search(r'"(.+)"', (ROOT / OURS / "__init__.py").read_text().partition("__version__")[2])
    root = {"type": "application", "bom-ref": OURS, "name": OURS, "version": version[1] if version else "0"}
    known = {package.name for package in packages}
    needs = {name: [p.purl for p in packages if name in p.needed_by] for name in known | {OURS}}
    # What a lock file names as asked for by another file of ours is ours too.
    needs[OURS] += [p.purl for p in packages if not known & set(p.needed_by) and OURS not in p.needed_by]
    dependencies = [{"ref": OURS, "dependsOn": sorted(needs[OURS])}]
    dependencies += [{"ref": p.purl, "dependsOn": sorted(needs[p.name])} for p in packages]
    names = "\n".join(p.purl for p in packages)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, names)}",
        "version": 1,
        "metadata": {"component": root},
        "components": [component(package) for package in packages],
        "dependencies": dependencies,
    }


def component(package: Package) -> dict[str, object]:
    properties = [{"name": "batchxfer:sha256", "value": digest} for digest in package.hashes]
    if package.marker:
        properties.append({"name": "batchxfer:marker", "value": package.marker})
    found: dict[str, object] = {
        "type": "library",
        "bom-ref": package.purl,
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
        "properties": properties,
    }
    if licence := next(licences(package.name), None):
        found["licenses"] = [{"license": {"name": licence}}]
    return found


def licences(name: str) -> Iterator[str]:
    """What an installed package says of its licence."""
    try:
        about = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return
    yield from about.get_all("License-Expression") or ()
    yield from (c.rpartition(" :: ")[2] for c in about.get_all("Classifier") or () if c.startswith("License :: "))
    yield from (text.splitlines()[0][:100] for text in about.get_all("License") or () if text.strip())


def audit() -> int:
    """Ask pip-audit; 1 where it knows of a flaw, 0 where not, or where nobody can be asked."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        python = Path(folder, "venv/bin/python")
        steps = [
            ("make a place for pip-audit", [sys.executable, "-m", "venv", f"{folder}/venv"]),
            (
                "install pip-audit",
                [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "pip-audit"],
            ),
        ]
        for what, command in steps:
            if reason := failure(command):
                return skipped(f"cannot {what}: {reason}")
        options = ["--require-hashes", "--disable-pip", "--progress-spinner", "off", "-f", "json", "-o", report]
        reason = failure([python, "-m", "pip_audit", "-r", LOCK, *options])
        try:
            found = json.loads(report.read_text())["dependencies"]
        except (OSError, ValueError, KeyError):
            return skipped(f"pip-audit could ask nobody: {reason}")
    asked = [package for package in found if "skip_reason" not in package]
    if not asked:
        return skipped(
            f"the index knows nothing of flaws: {found[0]['skip_reason'] if found else 'no package was named'}"
        )
    flaws = [(package, flaw) for package in asked for flaw in package.get("vulns", ())]
    for package, flaw in flaws:
        mended = ", ".join(flaw.get("fix_versions", ())) or "no version yet"
        print(f"audit: {package['name']} {package['version']}: {flaw['id']}, mended in {mended}", file=sys.stderr)
    print(f"audit: {len(asked)} of {len(found)} packages were looked up: {len(flaws)} known flaws")
    return 1 if flaws else 0


def failure(command: list[str | Path]) -> str | None:
    """The last line of what a command that failed said."""
    try:
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        return str(exc)
    said = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return (said[-1] if said else f"exit status {done.returncode}") if done.returncode else None


def skipped(why: str) -> int:
    print(f"audit: SKIPPED, no package was looked up: {why}", file=sys.stderr)
    return 0


def main() -> int:
    packages = read_lock(LOCK.read_text())
    SBOM.parent.mkdir(exist_ok=True)
    SBOM.write_text(json.dumps(sbom(packages), indent=2) + "\n")
    print(f"audit: {len(packages)} packages in {SBOM.relative_to(ROOT)}")
    return audit()


if __name__ == "__main__":
    sys.exit(main())
