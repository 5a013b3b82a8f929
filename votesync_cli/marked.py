"""YAML that remembers its lines: mappings and lists that know where each of their items stands, for messages that point.

Two things differ from plain YAML: a key given twice in one mapping is an error instead of being dropped, and
`interpolate` replaces `${NAME}` as docker compose does.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from typing import Any

import yaml

from votesync_cli.errors import ComposeFileError

MEND = "Mend that line, or write the file anew with `votesync generate --force`."

_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<bare>[A-Za-z_]\w*)|\{(?P<name>[A-Za-z_]\w*)(?:(?P<how>:?[-?])(?P<word>[^{}]*))?\})?"
)


class MarkedMap(dict[str, Any]):
    """A mapping that knows its own line and the line of each key."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}


class MarkedList(list[Any]):
    """A list that knows its own line and the line of each item."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: list[int] = []


class _Loader(yaml.SafeLoader):
    """SafeLoader whose mappings and lists carry lines; `file` is what messages call the text."""

    file = "compose.yml"

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Look for keys given twice before `<<` is merged in, since a merged key may be given again."""
        if not getattr(node, "votesync_seen", False):
            seen: dict[Hashable, int] = {}
            for key, _ in node.value:
                line = key.start_mark.line + 1
                if isinstance(key, yaml.ScalarNode) and key.value in seen and key.value != "<<":
                    message = f"{key.value!r} stands here again, after line {seen[key.value]}."
                    raise ComposeFileError(self.file, line, message, MEND)
                seen[key.value if isinstance(key, yaml.ScalarNode) else id(key)] = line
            node.votesync_seen = True  # type: ignore[attr-defined]  # a merged node comes by more than once
        super().flatten_mapping(node)

    def marked_map(self, node: yaml.MappingNode) -> Any:
        """Build a `MarkedMap`, in two steps as PyYAML wants it for anchors that point back."""
        made = MarkedMap(node.start_mark.line + 1)
        yield made
        self.flatten_mapping(node)
        for key, value in node.value:
            name = str(self.construct_object(key, deep=True))
            made[name] = self.construct_object(value, deep=True)
            made.lines[name] = key.start_mark.line + 1

    def marked_list(self, node: yaml.SequenceNode) -> Any:
        """Build a `MarkedList`."""
        made = MarkedList(node.start_mark.line + 1)
        yield made
        for item in node.value:
            made.append(self.construct_object(item, deep=True))
            made.lines.append(item.start_mark.line + 1)


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.marked_map)
_Loader.add_constructor("tag:yaml.org,2002:seq", _Loader.marked_list)


def read(text: str, file: str) -> MarkedMap:
    """Read one YAML document whose top is a mapping.

    Raises: ComposeFileError with the line.
    """
    loader = _Loader(_clean(text, file))
    loader.file = file
    try:
        document = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(filter(None, (error.context, error.problem)))
        raise ComposeFileError(file, mark.line + 1 if mark else 1, f"this is not YAML: {said}.", MEND) from None
    except (ValueError, RecursionError) as error:
        raise ComposeFileError(file, 1, f"this is not YAML that can be read: {error}.", MEND) from None
    finally:
        loader.dispose()
    if not isinstance(document, MarkedMap):
        raise ComposeFileError(file, 1, "this is no compose file: it has no `services:`.", MEND)
    return document


def _clean(text: str, file: str) -> str:
    bad = yaml.SafeLoader.NON_PRINTABLE.search(text)
    if bad is not None:
        line = text.count("\n", 0, bad.start()) + 1
        raise ComposeFileError(file, line, f"the character {bad.group()!r} cannot stand in YAML.", MEND)
    return text


def interpolate(value: Any, environment: Mapping[str, str], file: str, line: int = 1) -> Any:
    """Replace `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:?message}` in every text; `$$` is one `$`.

    Raises: ComposeFileError where a variable that must be set is not.
    """
    if isinstance(value, MarkedMap):
        for key, item in value.items():
            value[key] = interpolate(item, environment, file, value.lines[key])
        return value
    if isinstance(value, MarkedList):
        value[:] = [interpolate(item, environment, file, at) for item, at in zip(value, value.lines, strict=True)]
        return value
    if isinstance(value, str) and "$" in value:
        return _VARIABLE.sub(lambda match: _replaced(match, environment, file, line), value)
    return value


def _replaced(match: re.Match[str], environment: Mapping[str, str], file: str, line: int) -> str:
    if match["escaped"]:
        return "$"
    name = match["bare"] or match["name"]
    if not name:
        raise ComposeFileError(file, line, "a lone `$` stands here.", "Write `$$` where a `$` is meant.")
    found = environment.get(name)
    how, word = match["how"] or "", match["word"] or ""
    if found or (found is not None and not how.startswith(":")):
        return found
    if how.endswith("?"):
        raise ComposeFileError(
            file, line, f"the variable {name} is not set: {word or 'it must be'}.", f"Set {name} and try again."
        )
    return word if how.endswith("-") else ""
