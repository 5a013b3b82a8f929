"""One service of the compose file, from YAML to `Service`; each complaint names the line it is about.

Only what votesync acts on is read; what else docker compose knows is noted, so that an edit is never dropped in silence.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypedDict, TypeVar

from votesync_cli.compose_model import Build, Healthcheck, Mount, Port, Role, Service
from votesync_cli.errors import ComposeFileError
from votesync_cli.marked import MEND, MarkedList, MarkedMap

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h)")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?)i?b?\Z", re.IGNORECASE)
_FACTOR = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_PORT = re.compile(r"(?:(?:(?P<host>\[[0-9a-fA-F:]+\]|[0-9.]+):)?(?P<published>\d*):)?(?P<target>\d{1,5})(?:/tcp)?\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """Where complaints point: the file as messages call it, and the directory that relative paths start from."""

    file: str
    directory: Path


@dataclass(frozen=True, slots=True)
class Read:
    """A service together with the lines that messages about it need."""

    service: Service
    line: int
    environment_lines: Mapping[str, int]
    notes: tuple[str, ...]


class Fields:
    """The keys of one service, taken out one by one; what nobody took is noted."""

    def __init__(self, place: Place, name: str, raw: MarkedMap) -> None:
        self.place = place
        self.name = name
        self.raw = raw
        self.taken: set[str] = set()

    def fail(self, key: str, problem: str, hint: str = MEND) -> NoReturn:
        """Raise ComposeFileError at `key`'s line."""
        line = self.raw.lines.get(key, self.raw.line)
        raise ComposeFileError(self.place.file, line, f"{self.name}: {problem}.", hint)

    def get(self, key: str) -> Any:
        """The raw value, or None."""
        self.taken.add(key)
        return self.raw.get(key)

    def wrong(self, key: str, value: object, takes: str) -> NoReturn:
        """Raise for a value of the wrong kind."""
        self.fail(key, f"`{key}` is {_shown(value)}, but it takes {takes}")

    def text(self, key: str, default: str = "") -> str:
        """A text; numbers count as text."""
        value = self.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            self.wrong(key, value, "a text")
        return str(value)

    def boolean(self, key: str) -> bool:
        """True or false; false where it is not there."""
        value = self.get(key)
        if value is not None and not isinstance(value, bool):
            self.wrong(key, value, "true or false")
        return bool(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; one text alone counts as a list of one."""
        value = self.get(key)
        if value is None:
            return ()
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str | int | float) for item in items):
            self.wrong(key, value, "a list of texts")
        return tuple(str(item) for item in items)

    def command(self, key: str) -> tuple[str, ...]:
        """A command: a list, or one text that is split as a shell splits it."""
        value = self.get(key)
        if isinstance(value, str):
            try:
                return tuple(shlex.split(value))
            except ValueError as error:
                self.fail(key, f"`{key}` cannot be split into words ({error})")
        self.taken.discard(key)
        return self.texts(key)

    def pairs(self, key: str) -> tuple[dict[str, str | None], dict[str, int]]:
        """A mapping, or a list of NAME=value; with the line of each. None: no value is given."""
        value = self.get(key)
        found: dict[str, str | None] = {}
        lines: dict[str, int] = {}
        if isinstance(value, MarkedMap):
            for name, item in value.items():
                if isinstance(item, bool) or not (item is None or isinstance(item, str | int | float)):
                    line = value.lines[name]
                    message = f"{self.name}: {name} under `{key}` is {_shown(item)}, but it takes a text or a number."
                    raise ComposeFileError(self.place.file, line, message, "Put the value between quotes.")
                found[name], lines[name] = None if item is None else str(item), value.lines[name]
        elif isinstance(value, MarkedList) and all(isinstance(item, str) for item in value):
            for item, line in zip(value, value.lines, strict=True):
                name, equals, rest = item.partition("=")
                found[name], lines[name] = rest if equals else None, line
        elif value is not None:
            self.wrong(key, value, "a mapping or a list of NAME=value")
        return found, lines

    def seconds(self, key: str, default: float) -> float:
        """A duration such as `1s` or `1m30s`, in seconds."""
        value = self.get(key)
        if value is None:
            return default
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        text = str(value).strip()
        if not text or _DURATION.sub("", text):
            self.wrong(key, value, "a duration such as 500ms or 1m30s")
        return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(text))

    def number(self, key: str, default: int | None = None) -> int | None:
        """A whole number."""
        value = self.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not str(value).isdigit():
            self.wrong(key, value, "a whole number")
        return int(value)

    def size(self, key: str) -> int | None:
        """A size such as `512m`, in bytes."""
        value = self.get(key)
        if value is None:
            return None
        match = _SIZE.match(str(value).strip())
        if isinstance(value, bool) or match is None:
            self.wrong(key, value, "a size such as 512m")
        return int(float(match[1]) * _FACTOR[match[2].lower()])

    def inner(self, key: str) -> Fields | None:
        """The mapping under `key`, to be taken apart in the same way."""
        value = self.get(key)
        if value is None:
            return None
        if not isinstance(value, MarkedMap):
            self.wrong(key, value, "a mapping")
        return Fields(self.place, self.name, value)

    def left(self) -> tuple[str, ...]:
        """A note for each key that nobody took."""
        left = [key for key in self.raw if key not in self.taken]
        return tuple(f"{self.place.file}:{self.raw.lines[key]}: {self.name}: votesync does not act on `{key}`." for key in left)


def read_service(place: Place, name: str, raw: object, line: int, environment: Mapping[str, str]) -> Read:
    """Read one service.

    Raises: ComposeFileError.
    """
    if not _NAME.match(name):
        raise ComposeFileError(place.file, line, f"{name!r} cannot name a service.", "Use letters, digits, _ . and -.")
    if not isinstance(raw, MarkedMap):
        raise ComposeFileError(place.file, line, f"{name} is {_shown(raw)}, but a service is a mapping.", MEND)
    fields = Fields(place, name, raw)
    command = fields.command("command")
    given, lines = fields.pairs("environment")
    told = {
        key: environment[key] if value is None else value
        for key, value in given.items()
        if value is not None or key in environment
    }
    service = Service(
        name=name,
        role=_role(fields, command),
        id=_identity(fields, told, lines),
        image=fields.text("image") or fields.fail("image", "has no `image`"),
        command=command,
        environment=told,
        build=_build(fields),
        volumes=_each(fields, "volumes", _mount),
        ports=_each(fields, "ports", _port),
        labels={key: value or "" for key, value in fields.pairs("labels")[0].items()},
        healthcheck=_healthcheck(fields),
        depends_on=_depends_on(fields),
        **_limits(fields),
    )
    return Read(service, line, lines, fields.left())


class _Limits(TypedDict):
    """The part of a service that confines it."""

    user: str
    cap_drop: tuple[str, ...]
    security_opt: tuple[str, ...]
    tmpfs: tuple[str, ...]
    read_only: bool
    init: bool
    pids_limit: int | None
    mem_limit: int | None
    stop_grace_period: float
    restart: str


def _limits(fields: Fields) -> _Limits:
    return _Limits(
        user=fields.text("user"),
        cap_drop=fields.texts("cap_drop"),
        security_opt=fields.texts("security_opt"),
        tmpfs=fields.texts("tmpfs"),
        read_only=fields.boolean("read_only"),
        init=fields.boolean("init"),
        pids_limit=fields.number("pids_limit"),
        mem_limit=fields.size("mem_limit"),
        stop_grace_period=fields.seconds("stop_grace_period", 10.0),
        restart=fields.text("restart", "no"),
    )


def _role(fields: Fields, command: tuple[str, ...]) -> Role:
    what = command[command.index("node_runtime") + 1 :][:1] if "node_runtime" in command else ()
    if what == ("node",):
        return "node"
    if what == ("client",):
        return "client"
    return fields.fail(
        "command",
        "its command is neither `python -m node_runtime node` nor `… client`",
        "Put services of other kinds into a compose file of their own.",
    )


def _identity(fields: Fields, told: Mapping[str, str], lines: Mapping[str, int]) -> int:
    text = told.get("ID", "")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        line = lines.get("ID", fields.raw.lines.get("environment", fields.raw.line))
        said = f"its ID is {text!r}" if "ID" in told else "it has no ID"
        hint = "Give it a whole number from 0 on, each number once."
        raise ComposeFileError(fields.place.file, line, f"{fields.name}: {said}.", hint)
    return int(text)


def _build(fields: Fields) -> Build | None:
    value = fields.get("build")
    if isinstance(value, str):
        return Build(_path(fields.place, value))
    inner = fields.inner("build")
    if inner is None:
        return None
    context = inner.text("context") or fields.fail("build", "`build` has no `context`")
    return Build(_path(fields.place, context), {key: item or "" for key, item in inner.pairs("args")[0].items()})


def _healthcheck(fields: Fields) -> Healthcheck | None:
    inner = fields.inner("healthcheck")
    if inner is None or inner.boolean("disable"):
        return None
    test = inner.get("test")
    words = ("CMD-SHELL", test) if isinstance(test, str) else inner.texts("test")
    if not words or words[0] not in {"CMD", "CMD-SHELL", "NONE"} or len(words) < 2:
        return None if words[:1] == ("NONE",) else inner.wrong("test", test, 'a list such as ["CMD", "python", …]')
    return Healthcheck(
        test=words[1:] if words[0] == "CMD" else ("/bin/sh", "-c", words[1]),
        interval=inner.seconds("interval", 30.0),
        timeout=inner.seconds("timeout", 30.0),
        start_period=inner.seconds("start_period", 0.0),
        retries=inner.number("retries", 3) or 3,
    )


def _depends_on(fields: Fields) -> dict[str, str]:
    value = fields.get("depends_on")
    if not isinstance(value, MarkedMap):
        return dict.fromkeys(fields.texts("depends_on"), "service_started")
    found = {}
    for name, how in value.items():
        if not isinstance(how, MarkedMap):
            raise ComposeFileError(fields.place.file, value.lines[name], f"{fields.name}: {name} needs a `condition`.", MEND)
        found[name] = str(how.get("condition", "service_started"))
    return found


def _each(fields: Fields, key: str, one: Callable[[Fields, str, Any], T]) -> tuple[T, ...]:
    value = fields.get(key)
    if value is None:
        return ()
    if not isinstance(value, MarkedList):
        fields.wrong(key, value, "a list")
    return tuple(one(fields, key, item) for item in value)


def _mount(fields: Fields, key: str, item: Any) -> Mount:
    if isinstance(item, MarkedMap) and item.get("type") == "bind" and item.get("source") and item.get("target"):
        return Mount(_path(fields.place, str(item["source"])), str(item["target"]), bool(item.get("read_only")))
    parts = item.split(":") if isinstance(item, str) else []
    if len(parts) not in {2, 3} or not parts[0].startswith((".", "/", "~")) or not parts[1].startswith("/"):
        fields.wrong(key, item, "directories of this machine, such as ./shared_data:/shared")
    return Mount(_path(fields.place, parts[0]), parts[1], "ro" in parts[2:])


def _port(fields: Fields, key: str, item: Any) -> Port:
    if isinstance(item, MarkedMap):
        item = f"{item.get('host_ip', '')}:{item.get('published', '')}:{item.get('target', '')}".lstrip(":")
    match = _PORT.match(str(item))
    if match is None or not 0 < int(match["target"]) < 65536 or int(match["published"] or 0) > 65535:
        fields.wrong(key, item, "a port such as 127.0.0.1:5000:5000")
    return Port(int(match["target"]), int(match["published"] or 0), match["host"] or "")


def _path(place: Place, text: str) -> Path:
    return (place.directory / Path(text).expanduser()).resolve()


def _shown(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)
