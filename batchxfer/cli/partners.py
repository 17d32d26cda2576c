"""`probe` and `hostkey`: what the partner's server is and can do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from batchxfer.cli import completion, project
from batchxfer.cli.options import AsJson, ConfigPath, context_of
from batchxfer.errors import AttemptError, ExitCode, UsageError

if TYPE_CHECKING:
    from batchxfer.cli.output import Output
    from batchxfer.config import Project

SSH_PORT = 22
HIGHEST_PORT = 65535


# --- probe ---------------------------------------------------------------------------------------


def probe(
    context: typer.Context,
    endpoint: Annotated[
        list[str] | None,
        typer.Argument(metavar="ENDPOINT", help="Default: all.", autocompletion=completion.endpoints),
    ] = None,
    folder: Annotated[
        str, typer.Option(metavar="PATH", help="Where its temporary files go, below the endpoint's root.")
    ] = "",
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> int:
    """Connect to endpoints, see what they can do, say what to set.

    Logs in, then writes, renames, reads and removes small temporary files of its own, named as `temp_name` says. Exit
    status: 0 when every endpoint was connected to, whatever is advised; else 1.
    """
    from batchxfer.cli.probing import probe_endpoint

    words = context_of(context, config, as_json)
    loaded = project.load(words)
    _check_folder(folder)
    names = list(dict.fromkeys(endpoint or loaded.config.endpoints))
    for name in names:
        _check_name(loaded, name)
    answers = []
    for name in names:
        answer = probe_endpoint(loaded, name, folder)
        answers.append(answer)
        if not words.output.as_json:
            _tell(answer, words.output)
    if words.output.as_json:
        words.output.document({"endpoints": answers})
    elif not answers:
        words.output.say("no endpoints")
    return ExitCode.DONE if all(answer["connected"] for answer in answers) else ExitCode.FAILED


def _check_name(loaded: Project, name: str) -> None:
    from batchxfer.suggestions import did_you_mean

    known = loaded.config.endpoints
    if name not in known:
        raise UsageError(f"there is no endpoint {name!r}", hint=did_you_mean(name, known, what="the endpoints are"))


def _check_folder(folder: str) -> None:
    from batchxfer.paths import PathError, check_path

    try:
        check_path(folder.strip("/") or "root")
    except PathError as exc:
        raise UsageError(f"--folder {folder!r}: {exc.message}", hint=exc.hint) from exc


def _tell(answer: dict[str, Any], output: Output) -> None:
    output.say(f"{answer['endpoint']}: {'connected' if answer['connected'] else 'not connected'}")
    if answer["error"] is not None:
        output.say(f"  {answer['error']['message']}")
        if answer["error"]["hint"]:
            output.say(f"  → {answer['error']['hint']}")
    for name, value in answer["found"].items():
        output.say(f"  {name.replace('_', ' '):<20}{_shown(value)}")
    for advice in answer["advice"]:
        output.say(f"  → {advice}")


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "unknown" if value is None else str(value)


# --- hostkey -------------------------------------------------------------------------------------


def hostkey(
    context: typer.Context,
    host: Annotated[str, typer.Argument(metavar="HOST[:PORT]", help="The server; port 22 where none is said.")],
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> int:
    """Show a server's host keys, as the line for config.toml.

    Does not log in. Whoever answers sends the keys: compare them with what the partner tells you by another way.
    """
    from batchxfer.cli.words import without_retry
    from batchxfer.wiring import adapter

    output = context_of(context, config, as_json).output
    name, port = _host_and_port(host)
    try:
        keys: list[tuple[str, str]] = adapter("endpoints", "sftp").scan_host_keys(name, port, CONNECT_SECONDS)
    except AttemptError as error:
        # Nothing is tried again here: the command did not do what it was asked to.
        error.hint = without_retry(error.hint)
        output.error(error)
        return ExitCode.FAILED
    if output.as_json:
        found = [{"type": type_, "fingerprint": fingerprint} for type_, fingerprint in keys]
        output.document({"host": name, "port": port, "keys": found})
        return ExitCode.DONE
    for type_, fingerprint in keys:
        output.say(f"{fingerprint}  {type_}")
    pins = ", ".join(f'"{fingerprint}"' for _, fingerprint in keys)
    output.say(f"\nFor [endpoints.NAME] in config.toml:\n\nhost_key = [{pins}]")
    output.warn(
        "whoever answered at this address sent these keys",
        "before you trust them, compare them with what the partner tells you by another way: telephone, a letter, their portal",
    )
    return ExitCode.DONE


CONNECT_SECONDS = 15.0


_ADDRESS = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.%\w]+)\]|(?P<name>[^\s:\[\]/@]+))(?::(?P<port>[0-9]{1,5}))?", re.ASCII
)
_BARE_IPV6 = re.compile(r"[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%\w+)?", re.ASCII)


def _host_and_port(text: str) -> tuple[str, int]:
    """`host`, `host:port`, `[::1]:port`, `::1`."""
    if _BARE_IPV6.fullmatch(text):
        return text, SSH_PORT
    match = _ADDRESS.fullmatch(text)
    port = int(match["port"] or SSH_PORT) if match else 0
    if match is None or not 0 < port <= HIGHEST_PORT:
        raise UsageError(f"{text!r} is not a host", hint="write HOST, HOST:PORT or [IPV6]:PORT")
    return match["ipv6"] or match["name"], port
