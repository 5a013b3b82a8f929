"""Obeying the core: what an `Output` asks of the journal, the shared file, the peers and the clients, in its order.

`Duties` knows no socket, no loop and no clock; the daemon's driver (`node`) and the simulator use the same one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from node_runtime.client_port import Replies
from node_runtime.codec import rendered
from node_runtime.consensus import Core
from node_runtime.errors import SharedFileError
from node_runtime.journal import Journal
from node_runtime.messages import NodeId, PeerMessage
from node_runtime.shared_file import SharedFile
from node_runtime.state import Compare, Compared, FileShort, Input, Leader, Output, Persisted, TurnDone

COMPARE_BYTES = 4 * 1024 * 1024


class Outside(Protocol):
    """What `Duties` needs beside the two files."""

    def broadcast(self, peers: Iterable[NodeId], message: PeerMessage) -> None:
        """Queue one message for several peers."""

    def flush(self) -> None:
        """Send what is queued now."""

    def later(self, item: Input) -> None:
        """Feed this to the core after what else has arrived."""

    def with_next(self, item: Input) -> None:
        """Feed this to the core first thing in its next step, whenever that comes."""

    def sync(self, index: int) -> None:
        """fsync the shared file some time, then feed `FileSynced(index)`."""

    def trace(self, event: dict[str, Any]) -> None:
        """One event for the vote log."""

    def ticks(self) -> int:
        """Microseconds, for measuring how long an fsync takes."""


class Duties:
    """Does what one node owes after each step."""

    def __init__(self, core: Core, journal: Journal, file: SharedFile, outside: Outside) -> None:
        self._core = core
        self._journal = journal
        self._file = file
        self._outside = outside

    def obey(self, out: Output) -> list[Input]:
        """Do what an output says, in the order of its fields; returns what came of it, to be fed back at once.

        Raises: DiskError, SharedFileError; the process must end then.
        """
        back: list[Input] = []
        if out.state:
            self._journal.save_state(out.state[-1])
        self._send(out.early)
        persist_us = 0
        if out.rounds:
            self._outside.flush()  # the others fsync at the same time as this node
            persist_us = self._persist(out, back)
        self._send(out.replies)
        for write in out.writes:
            back.append(TurnDone(write, short=self._file.write(write.start, write.data) is not None))
        for compare in out.compare:
            self._compare(compare)
        self._answer(out)
        if out.sync:
            self._outside.sync(out.sync[-1])
        if out.check and self._file.size() < out.check[-1]:
            self._outside.later(FileShort())
        for event in out.trace:
            if event["event"] == "vote" and event["ok"]:
                event["persist_us"] = persist_us
            self._outside.trace(event)
        return back

    def _persist(self, out: Output, back: list[Input]) -> int:
        before = self._outside.ticks()
        state = self._core.state
        first, last = out.rounds[0], out.rounds[-1]
        self._journal.append(first.index - 1, out.rounds, min(state.log.decided, last.index), state.synced)
        persisted = Persisted(last.index, last.term)
        if isinstance(state.role, Leader) or state.recovering:
            back.append(persisted)
        else:  # a follower's vote leaves with this very output: nothing else waits for its own disk
            self._outside.with_next(persisted)
        return self._outside.ticks() - before

    def _send(self, messages: Iterable[tuple[NodeId, PeerMessage]]) -> None:
        """Queue messages; neighbours that are the same object are encoded once."""
        group: list[NodeId] = []
        previous: PeerMessage | None = None
        for peer, message in messages:
            if message is not previous and previous is not None:
                self._outside.broadcast(group, previous)
                group = []
            previous = message
            group.append(peer)
        if previous is not None:
            self._outside.broadcast(group, previous)

    def _answer(self, out: Output) -> None:
        for client, session, rows in out.acks:
            client.committed(session, rows)
        for client, session, seq, code in out.failures:
            _refuse(client, session, seq, code)

    def _compare(self, order: Compare) -> None:
        """Compare a part of the file with the log and repair it; the next part comes after what else has arrived."""
        log = self._core.state.log
        size = self._file.size()
        after = min(order.after, order.upto)
        if log.point(after).end > size:
            after = log.find_offset(size)
        rounds = [round_ for round_ in log.batch(after + 1, COMPARE_BYTES) if round_.index <= order.upto]
        index = rounds[-1].index if rounds else order.upto
        repair = self._file.repair(log.point(after).end, [rendered(round_) for round_ in rounds], rewrite=True)
        if repair.short is not None:  # cut while it was compared: find its new end
            self._compare(Compare(log.find_offset(repair.short), order.upto))
            return
        self._check_excess(index)
        self._outside.later(Compared(after, index, repair.changed))

    def _check_excess(self, index: int) -> None:
        """Nothing stands behind the decided bytes before this cluster has written any: else it is somebody's data."""
        state = self._core.state
        if index == state.log.decided and not state.seen_written and self._file.size() > state.log.point(index).end:
            raise SharedFileError(
                f"{self._file.path} is longer than anything this cluster decided: somebody else wrote in it. Run `votesync up"
                " --fresh`, which moves it to output-<UTC time>.txt, or move it yourself."
            )


def _refuse(client: Replies, session: str, seq: int, code: str) -> None:
    if code.startswith("gap "):
        expected = code.removeprefix("gap ")
        client.failed(session, seq, "gap", f"seq {seq} leaves a gap; expected {expected}", True, int(expected))
    else:
        client.failed(session, seq, code, "no majority has decided this message in time; send it again", True)
