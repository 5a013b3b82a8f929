"""What a project keeps on disk: its compose file, its directories, and whether the shared file belongs to its nodes.

The nodes refuse a shared file that is not theirs; this asks the same before anything is started, so that the answer is
one sentence and not five logs. Nothing is deleted here: a fresh start moves things aside and says where to.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from votesync_cli.compose_model import ComposeProject
from votesync_cli.errors import CheckFailed, EnvironmentFault

OUTPUT = "output.txt"
HISTORY = "history"
MARKS = ".votesync"
MEMBERS = "members"


def person() -> tuple[int, int]:
    """The (uid, gid) of who runs this, and of who called sudo where that is how it runs."""
    if os.geteuid() == 0:
        uid, gid = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
        if uid.isdigit():
            return int(uid), int(gid) if gid.isdigit() else int(uid)
    return os.getuid(), os.getgid()


def give(path: Path) -> None:
    """Let `path` belong to who called sudo; does nothing for anybody but root."""
    if os.geteuid() == 0 and person() != (0, 0):
        os.chown(path, *person())


def write_file(path: Path, text: str) -> None:
    """Write a file whole or not at all: under another name first, then renamed.

    Raises: EnvironmentFault.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8")
        give(draft)
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise EnvironmentFault(
            f"{path} cannot be written: {error.strerror}.", "Make its directory writable for you, or use another."
        ) from None


def check(project: ComposeProject) -> None:
    """Whether the nodes that are wanted may go on with what is there.

    Raises: CheckFailed where output.txt is somebody else's, where a journal is gone, or where the number of nodes is not
    that of the journals.
    """
    marks = _marked(project)
    output = project.shared_dir / OUTPUT
    fresh = [node for node in project.nodes if _is_fresh(node.data_dir)]
    ways_out = "Run `votesync up --fresh`, which moves it to output-<UTC time>.txt, or move it away yourself."
    if output.is_file() and output.stat().st_size > 0 and not marks and len(fresh) == len(project.nodes):
        raise CheckFailed(f"{output} was not written by this cluster, and nothing may be lost from it.", ways_out)
    gone = [node for node in fresh if node.id in marks]
    if gone:
        names = ", ".join(node.name for node in gone)
        raise CheckFailed(
            f"The journal of {names} is gone, but {output} was written with it.",
            "Put it back under .votesync/data, or run `votesync up --fresh`, which moves the file aside and starts anew.",
        )
    members = _members(project)
    if members is not None and members != len(project.nodes) and len(fresh) < len(project.nodes):
        raise CheckFailed(
            f"The journals are those of a cluster of {members} nodes, and a majority of {len(project.nodes)} is another one.",
            f"Keep --nodes {members}, or run `votesync up --nodes {len(project.nodes)} --fresh`, which starts anew.",
        )


def note_members(project: ComposeProject) -> None:
    """Write down how many nodes the journals are made for.

    Raises: EnvironmentFault.
    """
    if _members(project) != len(project.nodes):
        write_file(project.state_dir / "data" / MEMBERS, f"{len(project.nodes)}\n")


def move_aside(project: ComposeProject, stamp: str) -> tuple[str, ...]:
    """A fresh start: move the shared file, the histories, the marks and the journals aside; says what went where.

    Raises: EnvironmentFault.
    """
    said = []
    for old, new in _moves(project, stamp):
        try:
            if old.exists():
                new.parent.mkdir(parents=True, exist_ok=True)
                old.rename(new)
                said.append(f"Moved {_short(old, project)} to {_short(new, project)}.")
        except OSError as error:
            raise EnvironmentFault(f"{old} cannot be moved to {new}: {error.strerror}.", "Move it yourself.") from None
    return tuple(said)


def _moves(project: ComposeProject, stamp: str) -> Iterator[tuple[Path, Path]]:
    shared, state = project.shared_dir, project.state_dir
    yield shared / OUTPUT, shared / f"output-{stamp}.txt"
    yield shared / HISTORY, shared / f"{HISTORY}-{stamp}"
    yield shared / MARKS / project.cluster, state / f"old-{stamp}" / "marks"
    yield state / "data" / MEMBERS, state / f"old-{stamp}" / MEMBERS
    for node in project.nodes:
        if node.data_dir is not None:
            yield node.data_dir, state / f"old-{stamp}" / node.name


def _marked(project: ComposeProject) -> frozenset[int]:
    """The ids of the nodes that have left their mark beside the shared file."""
    try:
        names = os.listdir(project.shared_dir / MARKS / project.cluster)
    except OSError:
        return frozenset()
    ids = (name.removeprefix("node_") for name in names if name.startswith("node_"))
    return frozenset(int(text) for text in ids if text.isdigit())


def _is_fresh(directory: Path | None) -> bool:
    """Whether no node has ever used this data directory; one that cannot be looked into counts as used."""
    try:
        return directory is None or not any(name in {"state", "journal"} for name in os.listdir(directory))
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _members(project: ComposeProject) -> int | None:
    try:
        return int((project.state_dir / "data" / MEMBERS).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _short(path: Path, project: ComposeProject) -> str:
    return str(path.relative_to(project.directory)) if path.is_relative_to(project.directory) else str(path)
