"""The docker engine: the services of a compose file as containers, with docker compose's labels.

The SDK is imported when an engine is opened, so verbs that need none do not wait for it.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from votesync_cli.compose import ComposeProject, Service
from votesync_cli.engines import docker_labels as labels
from votesync_cli.engines.base import Finished, LogLine, Observed, Progress
from votesync_cli.engines.directories import make_sources, remove_journals
from votesync_cli.engines.docker_admin import ask_directly, ask_inside
from votesync_cli.engines.docker_create import create_request, observed
from votesync_cli.engines.docker_exec import run_in
from votesync_cli.engines.docker_faults import fault, fault_from_text, translated
from votesync_cli.engines.docker_hash import compose_hashes
from votesync_cli.engines.docker_image import ensure_image, find_image
from votesync_cli.engines.docker_logs import Follower, Source, history, labelled_service, raw_log
from votesync_cli.errors import CommandFailed, EnvironmentFault

if TYPE_CHECKING:
    from docker.api.client import APIClient

_PATIENCE = 120  # seconds for an answer, once the engine has given its first; a busy machine starts containers slowly
_FREEZES = 10  # times that freezing a container is tried: the engine gives up while processes of it are being started

T = TypeVar("T")


def _to_its_end(call: Callable[[], T]) -> T:
    """Run a call that makes something; Ctrl-C is raised after it, so that what was made can be found and undone."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


class DockerEngine:
    """`Engine` for a Docker Engine. Make one with `DockerEngine.connect()`."""

    name = "docker"

    def __init__(self, api: APIClient, version: str, *, rootless: bool, own_kernel: bool) -> None:
        """`own_kernel`: containers run on this very machine, not in a virtual one or elsewhere."""
        self._api = api
        self._rootless = rootless
        self._own_kernel = own_kernel
        self._direct = False  # whether a node has answered through its mounted directory
        self._compose_hashes: dict[str, Sequence[Mapping[str, str]]] = {}
        self.version = version

    @classmethod
    def connect(cls, timeout: float = 5.0) -> DockerEngine:
        """Connect to the engine that the docker command would use (DOCKER_HOST, or its context); `timeout` in seconds.

        Raises: EnvironmentFault that says why not; its `message` is what `--engine auto` shows.
        """
        try:
            import docker
            from docker.errors import DockerException
        except ImportError:
            raise EnvironmentFault("The Python package docker is not installed.", "Install votesync again.") from None
        where = os.environ.get("DOCKER_HOST", "")
        try:
            api = docker.from_env(timeout=math.ceil(timeout)).api
            where = where or str(api.base_url).replace("http+docker://localhost", "/var/run/docker.sock")
            info = api.info()
        except (DockerException, OSError, ValueError) as error:
            raise fault(error, "answer", where or "/var/run/docker.sock") from None
        api.timeout = _PATIENCE
        rootless = any("rootless" in option for option in info.get("SecurityOptions") or ())
        desktop = "Docker Desktop" in str(info.get("OperatingSystem"))
        own_kernel = sys.platform == "linux" and str(api.base_url).startswith("http+docker") and not desktop
        return cls(api, str(info.get("ServerVersion", "")), rootless=rootless, own_kernel=own_kernel)

    def close(self) -> None:
        """Give the connections back."""
        self._api.close()

    def prepare(self, project: ComposeProject, progress: Progress) -> None:
        """Make the directories that are mounted, the image and the network, as far as they are not there.

        Raises: EnvironmentFault.
        """
        self._refuse_namesake(project)
        make_sources(project.services)
        ensure_image(self._api, project, progress)
        self._ensure_network(project)

    def create(self, project: ComposeProject, service: Service) -> None:
        """Create and start one service; where it cannot be started, its container is removed again.

        Raises: CommandFailed where it exists already, EnvironmentFault.
        """
        image = find_image(self._api, service.image)
        if image is None:
            raise EnvironmentFault(
                f"The image {service.image} is not there.", "Start the cluster with `votesync up`, which builds it."
            )
        hashes = [known[service.name] for known in self._hashes(project) if service.name in known]
        request = create_request(
            project,
            service,
            image_id=str(image["Id"]),
            compose_hash=(hashes or [service.config_hash])[0],
            rootless=self._rootless,
        )
        name = labels.container_name(project, service)
        if any(labelled_service(item) == service.name for item in self._summaries(project)):
            raise CommandFailed(f"{service.name} exists already.", "Run `votesync ps` to see it, then run the command again.")
        _to_its_end(lambda: self._create_and_start(request, name, service.name))

    def start(self, project: ComposeProject, name: str) -> None:
        """Start a service that was stopped or killed; one that runs is left alone."""
        container = self._container(project, name)
        with translated(f"start {name}"):
            self._api.start(container)

    def stop(self, project: ComposeProject, name: str, timeout: float = 10.0) -> None:
        """SIGTERM, then SIGKILL after `timeout` seconds; one that does not run is left alone."""
        container = self._container(project, name)
        with translated(f"stop {name}"):
            self._api.stop(container, timeout=max(round(timeout), 1))

    def kill(self, project: ComposeProject, name: str) -> None:
        """SIGKILL, a paused one too."""
        container = self._container(project, name)
        with translated(f"kill {name}"):
            self._api.kill(container, "SIGKILL")

    def pause(self, project: ComposeProject, name: str) -> None:
        """Freeze its processes; tried again where the kernel did not manage it, as on cgroup v1 under load."""
        container = self._container(project, name)
        for left in reversed(range(_FREEZES)):
            try:
                with translated(f"pause {name}"):
                    self._api.pause(container)
                return
            except EnvironmentFault as error:
                if "unable to freeze" not in error.message or not left:
                    raise
                time.sleep(0.2)

    def unpause(self, project: ComposeProject, name: str) -> None:
        """Let its processes go on."""
        container = self._container(project, name)
        with translated(f"unpause {name}"):
            self._api.unpause(container)

    def remove(self, project: ComposeProject, name: str) -> None:
        """Remove a service's container, running or not; it may be gone already."""
        for summary in self._summaries(project):
            if labelled_service(summary) == name:
                self._remove(str(summary["Id"]), name)

    def teardown(self, project: ComposeProject, *, volumes: bool) -> Sequence[str]:
        """Remove what is left: containers of ours that are no services any more, the network, and journals if asked."""
        removed = []
        others = False
        for summary in self._all(project):
            if labels.is_ours(project, summary):
                self._remove(str(summary["Id"]), labelled_service(summary))
                removed.append(str(summary["Names"][0]).lstrip("/"))
            else:
                others = True  # of another directory, or another program: the network is in use
        if not others:
            removed += self._remove_networks(project)
        return removed + (remove_journals(project) if volumes else [])

    def observe(self, project: ComposeProject) -> Sequence[Observed]:
        """All services of the project that exist, nodes first."""
        from docker.errors import NotFound

        found = []
        for summary in self._summaries(project):
            with translated(f"look at {labelled_service(summary)}"):
                try:
                    inspected = self._api.inspect_container(summary["Id"])
                except NotFound:
                    continue  # removed meanwhile
            unlabelled = labels.HASH not in (summary.get("Labels") or {})
            hashes = [known.get(labelled_service(summary), "") for known in self._hashes(project)] if unlabelled else []
            item = observed(project, inspected, reachable=self._own_kernel and not self._rootless, compose_hashes=hashes)
            if item is not None:
                found.append(item)
        return sorted(found, key=lambda item: (item.role == "client", item.id, item.service))

    def logs(self, project: ComposeProject, names: Sequence[str], *, follow: bool, since: float | None) -> Iterator[LogLine]:
        """The lines of these services: what is there in order of time, then, with `follow`, what comes."""

        def find() -> Sequence[Source]:
            summaries = self._summaries(project)
            return [Source(labelled_service(item), str(item["Id"])) for item in summaries if labelled_service(item) in names]

        if follow:
            yield from Follower(self._api, labels.of_project(project), find).lines(since)
            return
        for source, stamped in history(self._api, find(), since):
            yield LogLine(source.service, stamped.line, stamped.at / 1e9)

    def raw_log(self, project: ComposeProject, name: str) -> Iterator[bytes]:
        """What its container wrote, of all its lives.

        Raises: CommandFailed where it does not exist, EnvironmentFault.
        """
        return raw_log(self._api, Source(name, self._container(project, name)))

    def log_files(self, project: ComposeProject) -> Mapping[str, Path]:
        """None: the daemon keeps them to itself."""
        return {}

    def run(
        self, project: ComposeProject, name: str, command: Sequence[str], stdin: bytes = b"", timeout: float = 10.0
    ) -> Finished:
        """`docker exec`.

        Raises: CommandFailed where the service does not run, TimedOut, EnvironmentFault.
        """
        return run_in(self._api, self._container(project, name), name, command, stdin, timeout)

    def admin(self, project: ComposeProject, name: str, request: dict[str, object], timeout: float = 5.0) -> dict[str, object]:
        """Ask a node's admin socket, through the mounted directory or from inside its container.

        Raises: CommandFailed where the node does not run or does not answer, TimedOut, EnvironmentFault.
        """
        summary = self._summary(project, name)
        if summary.get("State") == "paused":
            raise fault_from_text("is paused", f"ask {name}")
        directory = next((item.data_dir for item in project.services if item.name == name), None)
        if self._own_kernel and directory is not None and summary.get("State") == "running":
            answer = ask_directly(directory, name, request, timeout)
            if answer is not None:
                self._direct = True
                return answer
            if self._direct:  # then it would have answered; asking from inside would only cost time
                raise CommandFailed(f"{name} does not answer: it is starting or ending.", "See how it is with `votesync ps`.")
        container = str(summary["Id"])
        return ask_inside(lambda command: run_in(self._api, container, name, command, b"", timeout), name, request)

    def _hashes(self, project: ComposeProject) -> Sequence[Mapping[str, str]]:
        """compose's hashes, asked once for a state of the file: compose v1 takes a second to say them."""
        image = find_image(self._api, project.image) if project.services else None
        state = [project.name, str(project.file), (image or {}).get("Id"), *(item.config_hash for item in project.services)]
        key = json.dumps(state)
        if key not in self._compose_hashes:
            self._compose_hashes[key] = compose_hashes(project)
        return self._compose_hashes[key]

    def _all(self, project: ComposeProject) -> Sequence[Mapping[str, Any]]:
        """Every container with the project's label, whosever it is."""
        with translated("list the containers"):
            found: Sequence[Mapping[str, Any]] = self._api.containers(all=True, filters=labels.of_project(project))
        return found

    def _summaries(self, project: ComposeProject) -> Sequence[Mapping[str, Any]]:
        """The containers of the project's services, ours only."""
        return [item for item in self._all(project) if labels.is_ours(project, item) and not labels.is_oneoff(item)]

    def _summary(self, project: ComposeProject, name: str) -> Mapping[str, Any]:
        """A service's container, as the engine's list shows it; a running one where there are several."""
        found = [item for item in self._summaries(project) if labelled_service(item) == name]
        if not found:
            raise CommandFailed(
                f"{name} does not exist in the project {project.name}.", "Start the cluster with `votesync up`."
            )
        return max(found, key=lambda item: (item.get("State") in {"running", "paused"}, item.get("Created", 0)))

    def _container(self, project: ComposeProject, name: str) -> str:
        return str(self._summary(project, name)["Id"])

    def _refuse_namesake(self, project: ComposeProject) -> None:
        for summary in self._all(project):
            other = labels.elsewhere(project, summary.get("Labels") or {})
            if other is not None:
                raise EnvironmentFault(
                    f"Another project is called {project.name} too; it runs from {other}.",
                    "Give this one another name (-p NAME), or remove that one with `votesync down` in its directory.",
                )

    def _create_and_start(self, request: dict[str, Any], name: str, service: str) -> None:
        with translated(f"create {service}"):
            made = self._api.create_container_from_config(request, name)  # type: ignore[no-untyped-call]  # nor do the stubs
            container = str(made["Id"])
        try:
            with translated(f"start {service}"):
                self._api.start(container)
        except EnvironmentFault:
            self._remove(container, service)
            raise

    def _remove(self, container: str, service: str) -> None:
        from docker.errors import APIError, NotFound

        with translated(f"remove {service}"):
            try:
                self._api.remove_container(container, force=True, v=True)
            except NotFound:
                return
            except APIError as error:
                if error.status_code != 409:  # 409: somebody else is removing it just now
                    raise

    def _networks(self, project: ComposeProject) -> Sequence[Mapping[str, Any]]:
        with translated("list the networks"):
            found: Sequence[Mapping[str, Any]] = self._api.networks(
                filters=labels.of_project(project, f"{labels.NETWORK}=default")
            )
        return found

    def _ensure_network(self, project: ComposeProject) -> None:
        if self._networks(project):
            return
        name = labels.network_name(project)

        def make() -> None:
            with translated("make a network"):
                self._api.create_network(name, driver="bridge", labels=labels.network_labels(project), check_duplicate=True)

        _to_its_end(make)

    def _remove_networks(self, project: ComposeProject) -> list[str]:
        from docker.errors import NotFound

        removed = []
        for network in self._networks(project):
            with translated(f"remove the network {network['Name']}"):
                try:
                    self._api.remove_network(network["Id"])
                except NotFound:
                    continue
            removed.append(str(network["Name"]))
        return removed
