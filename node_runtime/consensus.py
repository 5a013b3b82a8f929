"""The core: `step(now, inputs) -> Output`, a function of its state and its inputs, and of nothing else.

It imports no clock, no random source, no socket, no file and no log; the daemon and the simulator drive the same
core. `election`, `replication`, `writing` and `intake` hold its parts; this module says which part an input goes to
and what is due after a batch of inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from node_runtime import election, replication, writing
from node_runtime.intake import Intake, is_run
from node_runtime.log import Log
from node_runtime.messages import (
    Ballot,
    Forward,
    Grant,
    Message,
    No,
    NodeId,
    PeerMessage,
    Policy,
    TurnRefused,
    Vote,
    VoteReply,
    VoteRequest,
    Written,
)
from node_runtime.state import (
    Compared,
    CoreState,
    FileShort,
    FileSynced,
    Follower,
    HardState,
    Input,
    Leader,
    LinkChanged,
    Output,
    Persisted,
    Received,
    Submitted,
    Timing,
    TurnDone,
)

FORWARD_MESSAGES = 4096
FORWARD_BYTES = 512 * 1024


class Core:
    """One node's part in the protocol. Feed it inputs with `step`, then do what the output says, in its order."""

    def __init__(
        self,
        me: NodeId,
        nodes: Iterable[NodeId],
        policy: Policy,
        timing: Timing,
        hard: HardState,
        log: Log,
        draw: Callable[[int, int], int],
        now: int,
        *,
        synced: int = 0,
        rounds_in_flight: int = 4,
        round_messages: int = 4096,
        queue_messages: int = 8192,
    ) -> None:
        """`log` holds what the journal held; `draw(low, high)` draws an integer; round `synced` is fsynced in the file."""
        self.state = CoreState(
            me=me, nodes=tuple(sorted(nodes)), policy=policy, timing=timing, rounds_in_flight=rounds_in_flight,
            round_messages=round_messages, draw=draw, log=log, intake=Intake(queue_messages), term=hard.term,
            voted_for=hard.voted_for, recovering=hard.recovering, role=Follower(0), now=now,
        )  # fmt: skip
        core = self.state
        assert me in core.nodes
        core.persisted = log.last.index
        core.synced = core.written = core.settled = min(synced, log.decided)
        core.role = Follower(now + draw(timing.election_min // 2, timing.election_max // 2))

    def step(self, now: int, inputs: Iterable[Input]) -> Output:
        """Take a batch of inputs at tick `now` and return everything that is owed for them."""
        core = self.state
        core.now = max(core.now, now)
        core.out = Output()
        for item in inputs:
            _HANDLERS[type(item)](core, item)
        writing.unpark(core)
        _elapse(core)
        role = core.role
        if isinstance(role, Leader):
            _forward(core)
            replication.close_rounds(core, role)
            writing.lead_on(core, role)
            replication.send_ballots(core, role)
        else:
            _forward(core)
        writing.settle(core)
        return core.out

    def deadline(self) -> int:
        """The tick at which `step` is to be called next even if nothing arrives."""
        core = self.state
        role = core.role
        if isinstance(role, Leader):
            due = [role.heartbeat, role.check]
            if role.opened is not None and replication.may_propose(core):
                due.append(role.opened + core.timing.round_window)
            if role.chain is not None:
                due.append(role.chain.progress + core.timing.turn_timeout)
            return min(due)
        due_at = role.deadline
        if core.intake.count:
            due_at = min(due_at, core.now + core.timing.retry)
        return due_at


def _received(core: CoreState, item: Received) -> None:
    message, sender = item.message, item.sender
    if sender == core.me or sender not in core.nodes:
        return
    if isinstance(message, VoteRequest):
        election.on_request(core, sender, message)
    elif isinstance(message, VoteReply):
        election.on_reply(core, sender, message)
    elif message.term < core.term:
        _stale(core, sender, message)
    else:
        if message.term > core.term:
            election.follow(core, message.term, None, f"node {sender} is in term {message.term}")
        _of_this_term(core, sender, message)


def _stale(core: CoreState, sender: NodeId, message: PeerMessage) -> None:
    """Rule 6: ignore what is of an older term, but answer a stale leader so that it steps down (rule 31)."""
    if isinstance(message, Ballot):
        core.out.replies.append((sender, Vote(core.term, message.request, 0, No.STALE_TERM)))


def _of_this_term(core: CoreState, sender: NodeId, message: PeerMessage) -> None:
    if isinstance(message, Ballot):
        assert not isinstance(core.role, Leader), f"node {sender} leads term {core.term} too"
        election.follow(core, message.term, sender, "")
        core.out.replies.append((sender, replication.on_ballot(core, message)))
    elif isinstance(message, Vote):
        replication.on_vote(core, sender, message)
    elif isinstance(message, Forward):
        _offer(core, message.messages)
    elif isinstance(message, Grant):
        writing.on_grant(core, sender, message)
    elif isinstance(message, Written):
        writing.on_written(core, message)
    elif isinstance(message, TurnRefused):
        writing.on_refused(core, sender, message)


def _offer(core: CoreState, messages: Iterable[Message]) -> None:
    role = core.role
    if isinstance(role, Leader):
        role.gathering.offer(messages, core.log.sessions)
        if role.opened is None and role.gathering.count:
            role.opened = core.now


def _submitted(core: CoreState, item: Submitted) -> None:
    """Queue what is new; answer what was written long ago; refuse what would leave a gap (rules 35 and 36)."""
    core.count("messages", len(item.messages))
    if is_run(item.messages):
        place = core.log.sessions.place(item.messages[0].session)
        if core.intake.extend(item.messages, item.client, place, core.now):
            return
    written = min(core.settled, core.log.decided)
    for message in item.messages:
        place = core.log.sessions.place(message.session)
        if message.seq <= place.last and place.round <= written:
            core.out.acks.append((item.client, message.session, [(message.seq, None, None)]))
            continue
        expected = core.intake.add(message, item.client, place, core.now)
        if expected is not None:
            core.out.failures.append((item.client, message.session, message.seq, f"gap {expected}"))


def _persisted(core: CoreState, item: Persisted) -> None:
    replication.on_persisted(core, item.index, item.term)


def _turn_done(core: CoreState, item: TurnDone) -> None:
    writing.on_turn_done(core, item)


def _compared(core: CoreState, item: Compared) -> None:
    writing.on_compared(core, item.after, item.index, item.changed)


def _file_synced(core: CoreState, item: FileSynced) -> None:
    core.synced = max(core.synced, item.index)


def _file_short(core: CoreState, item: FileShort) -> None:
    if isinstance(core.role, Leader):
        writing.compare_again(core, core.role)


def _link_changed(core: CoreState, item: LinkChanged) -> None:
    replication.on_link(core, item.peer, item.up)


def _elapse(core: CoreState) -> None:
    """What is due because time has passed; inputs come first, so a late timer sees the newest term (rule 49)."""
    role = core.role
    if isinstance(role, Leader):
        if not replication.check_quorum(core, role):
            election.follow(core, core.term, None, "no majority was heard within an election timeout")
        elif core.now >= role.sync_at:
            role.sync_at = core.now + core.timing.sync_every
            writing.look_after_file(core, role)
    elif core.now >= role.deadline:
        election.on_timeout(core)
    intake = core.intake
    if intake.count and core.now - intake.moved >= core.timing.retry:
        intake.moved = core.now
        _retry(core)


def _retry(core: CoreState) -> None:
    """Nothing has moved for a while: send everything again; give up what is too old."""
    core.out.acks.extend(core.intake.settle_old(core.log.sessions, min(core.settled, core.log.decided), core.now))
    gone = core.intake.expire(core.now - core.timing.ack_timeout)
    if gone:
        core.out.failures.extend([(client, session, seq, "no_quorum") for client, session, seq in gone])
        core.trace("no_quorum", waiting=len(gone))
    core.intake.send_again()


def _forward(core: CoreState) -> None:
    """Hand queued messages to the leader: to this node itself if it leads."""
    outbox = core.intake.outbox
    leader = core.leader
    if not outbox or leader is None:
        return
    core.intake.outbox = []
    if leader == core.me:
        _offer(core, outbox)
        return
    part: list[Message] = []
    size = 0
    for message in outbox:
        if part and (len(part) >= FORWARD_MESSAGES or size + len(message.block) > FORWARD_BYTES):
            core.out.early.append((leader, Forward(core.term, tuple(part))))
            part, size = [], 0
        part.append(message)
        size += len(message.block)
    core.out.early.append((leader, Forward(core.term, tuple(part))))


_HANDLERS: dict[type, Callable[[CoreState, Any], None]] = {
    Received: _received,
    Submitted: _submitted,
    Persisted: _persisted,
    TurnDone: _turn_done,
    Compared: _compared,
    FileSynced: _file_synced,
    FileShort: _file_short,
    LinkChanged: _link_changed,
}
