"""The node image's build context: a Dockerfile and the node's code, as bytes, and the name that its content earns.

The context is complete: with it and a base image, `docker build` needs no network, and the project's directory can be
zipped and given away. The name holds a hash of the content and of the base image's name, so an image that exists under
it need not be built again, and two projects with different bases do not take each other's image away.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from votesync_cli.errors import EnvironmentFault

REPOSITORY = "votesync-node"
CONTENT_LABEL = "io.votesync.content"
NO_PYTHON = 78  # exit code of the build step that looks for Python

_HERE = "@content@"

# Some images have only `python3`, some only `python`; `python` of an old image may be 2.7. The link gives the command
# of the compose file one meaning. PATH is written out because an imported image may have none to prepend to.
_DOCKERFILE = f"""\
# Written by votesync: the image of one node. Any image with Python 3.11 or newer will do as its base.
ARG BASE_IMAGE=python:3.12-slim
FROM ${{BASE_IMAGE}}
USER root
RUN for python in python3 python; do \\
      if $python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \\
        mkdir -p /opt/votesync/bin && \\
        ln -s "$($python -c 'import sys; print(sys.executable)')" /opt/votesync/bin/python && \\
        exit 0; \\
      fi; \\
    done; \\
    echo "votesync: the base image has no Python 3.11 or newer" >&2; exit {NO_PYTHON}
COPY node_runtime /opt/votesync/node_runtime
RUN chmod -R a+rX /opt/votesync && \\
    /opt/votesync/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/votesync/node_runtime
ENV PATH=/opt/votesync/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \\
    PYTHONPATH=/opt/votesync PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /opt/votesync
LABEL {CONTENT_LABEL}="{_HERE}"
USER 65534:65534
ENTRYPOINT []
CMD ["python", "-m", "node_runtime", "node"]
"""


def context_files() -> dict[str, bytes]:
    """The whole context, by path inside it: the installed `node_runtime` and the Dockerfile, which names their hash.

    Raises: EnvironmentFault where the installation is damaged.
    """
    files = {f"node_runtime/{path}": data for path, data in _sources()}
    content = content_hash({**files, "Dockerfile": _DOCKERFILE.encode()})
    files["Dockerfile"] = _DOCKERFILE.replace(_HERE, content).encode()
    return files


def content_hash(files: Mapping[str, bytes]) -> str:
    """Twelve hex digits that stand for these files; a file's length separates it from the next."""
    digest = hashlib.sha256()
    for path, data in sorted(files.items()):
        digest.update(f"{path}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()[:12]


def labelled_content(files: Mapping[str, bytes]) -> str:
    """The hash that the Dockerfile gives its image as a label, or "" where it gives none."""
    for line in files.get("Dockerfile", b"").decode(errors="replace").splitlines():
        if line.startswith(f"LABEL {CONTENT_LABEL}="):
            return line.partition("=")[2].strip('"')
    return ""


def image_name(base_image: str) -> str:
    """The name for the image of this votesync on that base: `votesync-node:<hash of both>`.

    Raises: EnvironmentFault.
    """
    return f"{REPOSITORY}:{content_hash({**context_files(), 'base': base_image.encode()})}"


def write_context(directory: Path, owner: tuple[int, int] | None = None) -> None:
    """Make `directory` hold the context and nothing else; files that are right already stay untouched.

    Everybody may read the files whatever the umask says: the node in the container is another user. `owner` is whom
    they belong to where this program is root for somebody else.

    Raises: EnvironmentFault where it cannot be written.
    """
    files = context_files()
    try:
        for folder in (directory, directory / "node_runtime"):
            folder.mkdir(parents=True, exist_ok=True)
            _give(folder, 0o755, owner)
        for path, data in files.items():
            file = directory / path
            if not file.is_file() or file.read_bytes() != data:
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(data)
            _give(file, 0o644, owner)
        for path in set(read_context(directory)) - set(files):
            (directory / path).unlink()
    except OSError as error:
        raise EnvironmentFault(
            f"The image's build context cannot be written to {directory}: {error.strerror or error}.",
            "Make the directory writable for you, or run votesync in another one.",
        ) from None


def read_context(directory: Path) -> dict[str, bytes]:
    """The files below `directory`, by relative path.

    Raises: OSError.
    """
    files = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}


def _sources() -> Iterator[tuple[str, bytes]]:
    found = importlib.util.find_spec("node_runtime")
    places = list(found.submodule_search_locations or ()) if found is not None else []
    if not places:
        raise EnvironmentFault("The package node_runtime is not installed.", "Install votesync again.")
    root = Path(places[0])
    for path in sorted(root.rglob("*.py")):
        yield path.relative_to(root).as_posix(), path.read_bytes()


def _give(path: Path, mode: int, owner: tuple[int, int] | None) -> None:
    status = path.stat()
    if owner is not None and (status.st_uid, status.st_gid) != owner:
        os.chown(path, *owner)
    if status.st_mode & 0o777 != mode:
        path.chmod(mode)
