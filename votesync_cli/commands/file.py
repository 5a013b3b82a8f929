"""The compose file as `generate` and `up` write it: never over somebody else's words without being told to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from votesync_cli.belongings import give, person, write_file
from votesync_cli.cluster import ClusterSpec, spec_from
from votesync_cli.commands.context import compose_file, name_of
from votesync_cli.compose import Authorship, ComposeProject, authorship, parse, read_text, render, settings_of
from votesync_cli.engines.directories import make_directory
from votesync_cli.engines.image import image_name, write_context
from votesync_cli.errors import ComposeFileError, UsageError
from votesync_cli.marked import read
from votesync_cli.options import Common


@dataclass(frozen=True, slots=True)
class Draft:
    """A compose file as it shall be: its text, what that says, and whether it must be written. `whose` is the old one's."""

    text: str
    project: ComposeProject
    write: bool
    whose: Authorship | None


def draft_new(common: Common, asked: Mapping[str, Any], *, force: bool) -> Draft:
    """The file that `generate` writes: from the options and the defaults.

    Raises: UsageError where a file is in the way and `force` was not said.
    """
    old = _old(common)
    whose = authorship(old) if old is not None else None
    if whose in {"foreign", "edited"} and not force:
        said = "was not written by votesync" if whose == "foreign" else "was edited since votesync wrote it"
        raise UsageError(
            f"{compose_file(common)} {said}.",
            "Say --force to replace it (the old one is kept beside it), or name another file with -f.",
        )
    text = render(_spec(common, {}, asked))
    return Draft(text, _parsed(common, text), text != old, whose)


def draft_wanted(common: Common, asked: Mapping[str, Any], *, force: bool) -> Draft:
    """The file that `up` runs: the one that is there, made anew where it is ours and the options ask for another shape.

    Raises: UsageError where the options ask for another shape of a file that somebody edited, ComposeFileError.
    """
    old = _old(common)
    if old is None:
        return draft_new(common, asked, force=force)
    whose = authorship(old)
    wanted = {name: value for name, value in asked.items() if value is not None}
    if whose == "ours" or force:
        settings = _settings(common, old) if whose == "ours" else _settings_if_readable(common, old)
        text = render(_spec(common, settings, wanted))
        return Draft(text, _parsed(common, text), text != old, whose)
    if wanted:
        settings = _settings(common, old)
        different = sorted(name for name, value in wanted.items() if settings.get(name) != value)
        if different or whose == "foreign":
            options = ", ".join("--" + name.removesuffix("_ms").replace("_", "-") for name in different or wanted)
            said = "was edited since votesync wrote it" if whose == "edited" else "was not written by votesync"
            raise UsageError(
                f"{options} would replace {compose_file(common)}, which {said}.",
                "Leave the option out to run the file as it is, or say --force (the old file is kept beside it).",
            )
    return Draft(old, _parsed(common, old), False, whose)


def save(common: Common, draft: Draft) -> list[str]:
    """Write the file, the image's build context and the directories, so that plain docker compose works with them too.

    Returns what there is to say. Raises: EnvironmentFault.
    """
    said = []
    path = compose_file(common)
    if draft.write:
        if draft.whose in {"foreign", "edited"}:
            kept = path.with_name(path.name + ".old")
            write_file(kept, read_text(path))
            said.append(f"Kept the old file as {kept.name}.")
        write_file(path, draft.text)
        said.append(f"{'Wrote' if draft.whose is None else 'Rewrote'} {path.name} ({len(draft.project.nodes)} nodes).")
    build = draft.project.build
    owner = person() if os.geteuid() == 0 else None
    for service in draft.project.services:
        for mount in service.volumes:
            make_directory(mount.source, owner)
    if build is not None and build.context == draft.project.state_dir.resolve() / "image":
        write_context(build.context, owner)
        give(draft.project.state_dir)
    return said


def _settings(common: Common, text: str) -> Mapping[str, Any]:
    return settings_of(read(text, compose_file(common).name))


def _settings_if_readable(common: Common, text: str) -> Mapping[str, Any]:
    """What is to be replaced anyway may be as broken as it likes."""
    try:
        return _settings(common, text)
    except ComposeFileError:
        return {}


def _old(common: Common) -> str | None:
    path = compose_file(common)
    return read_text(path) if path.exists() or path.is_symlink() else None


def _spec(common: Common, settings: Mapping[str, Any], asked: Mapping[str, Any]) -> ClusterSpec:
    uid, gid = person()
    base = os.environ.get("VOTESYNC_BASE_IMAGE")
    if base and asked.get("base_image") is None:
        asked = {**asked, "base_image": base}
    cluster = settings.get("cluster")
    name = cluster if isinstance(cluster, str) else name_of(common)[:63]
    spec = spec_from(settings, asked, cluster=name, image="votesync-node:unnamed", uid=uid, gid=gid)
    return spec_from(settings, asked, cluster=name, image=image_name(spec.base_image), uid=uid, gid=gid)


def _parsed(common: Common, text: str) -> ComposeProject:
    return parse(text, compose_file(common).resolve(), name_of(common), os.environ)
