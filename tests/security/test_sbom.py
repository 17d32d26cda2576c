"""The list of what batchxfer is made of has every package of the lock, and can be made without a network."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]


def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("batchxfer_audit", ROOT / ".ci/audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # As an import would: a dataclass looks its module up.
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_sbom_names_every_locked_package_with_its_digests_and_its_place() -> None:
    script = audit()
    text = (ROOT / "requirements/run.txt").read_text()
    document = json.loads(json.dumps(script.sbom(script.read_lock(text))))
    locked = set(re.findall(r"(?m)^([a-z0-9._-]+)==(\S+)", text))
    assert {(item["name"], item["version"]) for item in document["components"]} == locked
    digests = [
        p["value"] for item in document["components"] for p in item["properties"] if p["name"] == "batchxfer:sha256"
    ]
    assert len(digests) == text.count("--hash=sha256:")
    needed = {purl for item in document["dependencies"] for purl in item["dependsOn"]}
    assert needed == {item["purl"] for item in document["components"]}
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
