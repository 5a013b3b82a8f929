"""What an output owes, done in its order by the real `Duties`, journal and shared file on a simulated disk."""

from __future__ import annotations

import errno
import random
from collections.abc import Iterable
from typing import Any

import pytest

from node_runtime.codec import rendered
from node_runtime.config import Address, NodeConfig
from node_runtime.consensus import Core
from node_runtime.daemon import open_node
from node_runtime.duties import Duties
from node_runtime.errors import DiskError, SharedFileError
from node_runtime.messages import No, NodeId, PeerMessage, Vote, VoteReply, VoteRequest, Written
from node_runtime.state import Compared, Input, Received, Submitted
from tests.scenarios.harness import MILLI, heartbeat
from tests.simulation.disk import SimDisk
from tests.unit.node_maker import chain, log_of, msg

FILE = "/shared/output.txt"
KINDS = {"/data/state": "state", "/data/journal/": "journal", FILE: "file"}


class Process:
    """One node on a disk; `done` is what it did to the disk and said to others, in order."""

    def __init__(self, disk: SimDisk, me: NodeId = 0, nodes: int = 3) -> None:
        self.disk = disk
        self.me = me
        self.now = 0
        self.done: list[str] = []
        self.inbox: list[Input] = []
        self.said: list[PeerMessage] = []
        self.acks: list[tuple[str, int]] = []
        self.storage = disk.mount()
        peers = {node: Address("127.0.0.1", 6000 + node) for node in range(nodes)}
        config = NodeConfig(me, "duties", Address("", 5000), Address("", 6000), peers, "/shared", "/data", seed=1)
        self.core, self.journal, self.file = open_node(config, self.storage, 0)
        self.duties = Duties(self.core, self.journal, self.file, self)
        disk.calls.clear()

    def broadcast(self, peers: Iterable[NodeId], message: PeerMessage) -> None:
        self._note_disk()
        self.said.append(message)
        self.done += [f"say {type(message).__name__}"]

    def flush(self) -> None:
        self._note_disk()
        self.done.append("flush")

    def later(self, item: Input) -> None:
        self.inbox.append(item)

    def with_next(self, item: Input) -> None:
        self.inbox.append(item)

    def sync(self, index: int) -> None:
        self.file.sync()

    def trace(self, event: dict[str, Any]) -> None:
        assert event["event"]

    def ticks(self) -> int:
        return 0

    def committed(self, session: str, rows: list[tuple[int, int | None, int | None]]) -> None:
        self._note_disk()
        self.done.append("answer")
        self.acks += [(session, row[0]) for row in rows]

    def failed(self, session: str, seq: int, code: str, text: str, retry: bool, expected: int | None = None) -> None:
        raise AssertionError(code)

    def run(self, *inputs: Input, after: int = 0) -> list[str]:
        """Step and obey until nothing is owed; what was done on the way."""
        self.now += after * MILLI
        owed = list(inputs)
        while True:
            owed = self.duties.obey(self.core.step(self.now, owed))
            if not owed and self.inbox:
                owed, self.inbox = self.inbox, []
            if not owed:
                break
        self._note_disk()
        done, self.done = self.done, []
        return done

    def _note_disk(self) -> None:
        for call, path in self.disk.calls:
            kind = next((kind for start, kind in KINDS.items() if path.startswith(start)), None)
            if kind is not None and call in {"pwrite", "fdatasync"}:
                self.done.append(f"{call} {kind}")
        self.disk.calls.clear()


@pytest.fixture
def disk() -> SimDisk:
    return SimDisk(random.Random(1))


def from_leader(rounds: Any = (), before: Any = (), request: int = 1, **more: int) -> Received:
    return Received(1, heartbeat(log_of(list(before)), 1, *rounds, request=request, **more))


def alone(disk: SimDisk) -> Process:
    """A cluster of one that leads and has looked at its file."""
    process = Process(disk, nodes=1)
    process.run(after=1000)
    assert process.core.state.leads
    return process


def test_rule_01_the_vote_is_fsynced_twice_before_it_is_said(disk: SimDisk) -> None:
    done = Process(disk).run(Received(1, VoteRequest(3, 0, 0, pre=False)))
    assert done == ["pwrite state", "fdatasync state"] * 2 + ["say VoteReply"]


def test_rule_01_a_vote_survives_the_loss_of_power_right_after_it_was_said(disk: SimDisk) -> None:
    process = Process(disk)
    process.run(Received(1, VoteRequest(3, 0, 0, pre=False)))
    disk.crash()
    again = Process(disk)
    again.run(Received(2, VoteRequest(3, 0, 0, pre=False)))
    assert again.said == [VoteReply(3, 3, False, False)]


def test_rule_01_a_yes_to_rounds_is_said_when_they_are_fsynced(disk: SimDisk) -> None:
    done = Process(disk).run(from_leader(chain((1, []), (1, [msg("b", 1, 1, 1)]))))
    assert [step for step in done if "state" not in step] == [
        "flush", "pwrite journal", "fdatasync journal", "say Vote",
    ]  # fmt: skip


def test_promise_1_rounds_that_were_voted_for_survive_the_loss_of_power(disk: SimDisk) -> None:
    rounds = chain((1, []), (1, [msg("b", 1, 1, 1)]))
    process = Process(disk)
    process.run(from_leader(rounds))
    assert any(isinstance(message, Vote) and message.index == 2 for message in process.said)
    disk.crash()
    log = Process(disk).core.state.log
    assert [log.round(index) for index in (1, 2)] == rounds


def test_rule_08_a_leader_sends_its_ballots_before_it_waits_for_its_own_disk(disk: SimDisk) -> None:
    process = Process(disk)
    process.run(after=1000)
    process.run(Received(1, VoteReply(0, 1, True, True)))
    done = process.run(Received(1, VoteReply(1, 1, False, True)))
    assert done == ["say Ballot", "flush", "pwrite journal", "fdatasync journal"]


def test_rule_37_an_answer_goes_out_after_journal_and_file(disk: SimDisk) -> None:
    process = alone(disk)
    process.run(Submitted([msg()], process))
    done = process.run(after=20)
    wanted = ["pwrite journal", "fdatasync journal", "pwrite file", "answer"]
    assert [step for step in done if step in wanted] == wanted
    assert process.acks == [("a", 1)]
    assert disk.content(FILE) == rendered(process.core.state.log.round(2))


def test_rule_24_a_journal_that_fails_says_nothing_and_is_not_used_again(disk: SimDisk) -> None:
    process = Process(disk)
    disk.fail("fdatasync", errno.EIO, path="/journal/")
    rounds = chain((1, []), (1, [msg()]))
    with pytest.raises(DiskError):
        process.run(from_leader(rounds[:1]))
    with pytest.raises(DiskError):
        process.run(from_leader(rounds[1:], before=rounds[:1], request=2))
    assert not [message for message in process.said if isinstance(message, Vote)]


def test_rule_21_a_node_with_a_damaged_journal_starts_above_every_term_in_which_it_may_have_answered(disk: SimDisk) -> None:
    process = Process(disk)
    process.run(from_leader(chain((1, []), (1, [msg()]))))
    process.storage.kill()
    log = next(path for path in disk.names if path.endswith(".log"))
    disk.flip(log, disk.content(log).index(b"Mensagem"))
    again = Process(disk)
    assert (again.core.state.recovering, again.core.state.term, again.core.state.voted_for) == (True, 2, None)
    assert (again.journal.state.recovering, again.journal.state.term) == (True, 2)
    assert again.run(from_leader()) == ["say Vote"], "it answers the leader of term 1, but only that it is behind the times"
    assert again.said == [Vote(2, 1, 0, No.STALE_TERM)]


def test_rule_45_after_a_failed_fsync_the_file_is_written_anew_from_the_journal(disk: SimDisk) -> None:
    process = alone(disk)
    process.run(Submitted([msg()], process))
    process.run(after=20)
    whole = disk.content(FILE)
    disk.fail("fdatasync", errno.EIO, path="output")
    with pytest.raises(DiskError):
        process.run(after=2000)
    process.storage.kill()
    again = alone(disk)
    again.run(after=2000)
    disk.crash()
    assert disk.content(FILE) == whole


def test_rule_44_a_new_leader_finds_what_the_last_one_did_not_finish(disk: SimDisk) -> None:
    process = alone(disk)
    process.run(Submitted([msg("a", seq, seq) for seq in range(1, 30)], process))
    process.run(after=20)
    whole = disk.content(FILE)
    process.storage.kill()
    del disk.names[FILE].seen[100:]
    alone(disk)
    assert disk.content(FILE) == whole


def test_a_file_that_is_longer_than_all_that_was_decided_is_somebody_elses(disk: SimDisk) -> None:
    process = Process(disk, nodes=1)
    handle = process.storage.open(FILE)
    process.storage.pwrite(handle, b"my diary\n", 0)
    with pytest.raises(SharedFileError, match="somebody else"):
        process.run(after=1000)
    assert disk.content(FILE) == b"my diary\n"


def test_rule_40_what_stands_behind_the_decided_bytes_is_left_alone(disk: SimDisk) -> None:
    process = alone(disk)
    process.run(Submitted([msg()], process))
    process.run(after=20)
    whole = disk.content(FILE)
    disk.names[FILE].seen.extend(b"of a newer leader\n")
    process.run(after=3000)
    assert disk.content(FILE) == whole + b"of a newer leader\n"


def test_a_comparison_is_done_in_parts_between_which_others_are_heard(disk: SimDisk) -> None:
    process = alone(disk)
    seq = 0
    while process.core.state.log.last.end < 5 * 1024 * 1024:
        text = "x" * 16_000
        process.run(Submitted([msg("a", seq := seq + 1, seq, text=text) for _ in range(60)], process))
        process.run(after=20)
    whole = disk.content(FILE)
    process.storage.kill()
    del disk.names[FILE].seen[1000:]
    again = Process(disk, nodes=1)
    parts: list[Compared] = []
    put = again.later
    again.later = lambda item: (parts.append(item), put(item))[1] if isinstance(item, Compared) else put(item)  # type: ignore[method-assign,func-returns-value]
    again.run(after=1000)
    assert disk.content(FILE) == whole
    assert len(parts) >= 2
    assert parts[-1].index == again.core.state.log.decided


def test_messages_to_several_peers_are_handed_over_once(disk: SimDisk) -> None:
    process = Process(disk, nodes=5)
    said: list[tuple[list[NodeId], PeerMessage]] = []
    message = Written(1, 1, bytes(16), 0, 0, last=True)
    process.broadcast = lambda peers, message: said.append((list(peers), message))  # type: ignore[method-assign]
    core: Core = process.core
    out = core.step(0, [])
    out.early.extend((peer, message) for peer in (1, 2, 3))
    process.duties.obey(out)
    assert said == [([1, 2, 3], message)]
