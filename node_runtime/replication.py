"""Ballots and votes: how the leader proposes rounds and how the others check and confirm them (rules 8 to 18).

Raft's log replication (thesis section 3.5) with rounds as entries and digests in place of terms for matching.
"""

from __future__ import annotations

from node_runtime.messages import Ballot, Message, No, NodeId, Round, Vote
from node_runtime.quorum import majority, reached_by_majority
from node_runtime.rounds import build_round, check_round, summary
from node_runtime.state import BallotTimes, CoreState, Leader, Progress

MAX_BALLOT_BYTES = 1024 * 1024
WINDOW = 64


# --- the leader's side ---


def start_leading(core: CoreState) -> None:
    """Take office: a no-op of the own term first; nothing is granted before it is decided (rule 10)."""
    log, now = core.log, core.now
    peers = {peer: Progress(next=log.last.index + 1, heard=now, up=peer not in core.down) for peer in core.peers}
    core.role = Leader(
        noop=log.last.index + 1,
        peers=peers,
        heartbeat=now + core.timing.heartbeat,
        check=now + core.timing.election_max,
        sync_at=now + core.timing.sync_every,
    )
    core.intake.send_again()
    propose(core, [])


def propose(core: CoreState, messages: list[Message]) -> None:
    """Append one round of one's own and owe it to the journal; `send_ballots` sends it."""
    leader = core.role
    assert isinstance(leader, Leader)
    round_ = build_round(core.log.last, core.term, core.policy, messages)
    core.log.append(round_)
    core.out.rounds.append(round_)
    leader.ballots[round_.index] = BallotTimes(core.now, frozenset(round_.nodes))
    if messages:
        core.count("rounds")
        core.trace(
            "ballot", round=round_.index, digest=round_.digest.hex()[:16], count=round_.count, offset=round_.offset,
            size=round_.size, messages=summary(round_),
        )  # fmt: skip


def close_rounds(core: CoreState, leader: Leader) -> None:
    """Propose what was gathered, when the round is full, complete, old enough, or the way is free (DESIGN section 4)."""
    pool = leader.gathering
    while pool.count:
        if leader.opened is None:
            leader.opened = core.now
        if not may_propose(core):
            return
        due = core.now >= leader.opened + core.timing.round_window
        if not (due or pool.count >= core.round_messages or _is_complete(core, leader)):
            return
        propose(core, pool.take(core.round_messages))
        leader.opened = None


def _is_complete(core: CoreState, leader: Leader) -> bool:
    """Whether everybody is in that can be expected: the nodes of the round decided last, whose clients are being answered.

    Nodes with messages in a round that is still voted on are not waited for: their clients may wait for that one.
    """
    expected = leader.participants
    for index in range(core.log.decided + 1, core.log.last.index + 1):
        times = leader.ballots.get(index)
        if times is not None:
            expected = expected - times.nodes
    return bool(leader.participants) and leader.gathering.has_all(expected)


def may_propose(core: CoreState) -> bool:
    """Whether one more round may be under way: bounded both undecided and unwritten (rule 17)."""
    last = core.log.last.index
    return last - core.log.decided < core.rounds_in_flight and last - core.written < 2 * core.rounds_in_flight


def send_ballots(core: CoreState, leader: Leader) -> None:
    """Send each peer what it lacks; all of it a heartbeat when one is due."""
    beat = core.now >= leader.heartbeat
    if beat:
        leader.heartbeat = core.now + core.timing.heartbeat
    made: dict[tuple[int, bool], Ballot] = {}
    for peer, progress in leader.peers.items():
        if beat or (progress.up and progress.next <= core.log.last.index and not _must_wait(progress)):
            _send_ballot(core, leader, peer, made)


def on_vote(core: CoreState, sender: NodeId, vote: Vote) -> None:
    """A vote for this leader's ballots; only those of the own term come here."""
    leader = core.role
    if not isinstance(leader, Leader) or sender not in leader.peers or vote.index > core.log.last.index:
        return
    progress = leader.peers[sender]
    progress.heard = core.now
    progress.asked = False
    if vote.reason is not No.YES:
        if vote.request < progress.valid_from:
            return
        progress.next = max(progress.match + 1, min(progress.next - 1, vote.index + 1))
        progress.probing = True
        progress.valid_from = leader.request + 1
        core.count("votes_no")
        return
    progress.probing = False
    if vote.index <= progress.match:
        return
    _note_times(core, leader, sender, progress.match + 1, vote.index)
    progress.match = vote.index
    progress.next = max(progress.next, vote.index + 1)
    advance_decided(core, leader)


def on_persisted(core: CoreState, index: int, term: int) -> None:
    """The own journal holds everything up to a round: now the own copy counts (rule 8)."""
    if index > core.log.last.index or core.log.point(index).term != term:
        return
    core.persisted = max(core.persisted, index)
    if core.recovering:
        _restore(core, index)
    if isinstance(core.role, Leader):
        _note_times(core, core.role, core.me, core.role.noop, index)
        advance_decided(core, core.role)


def advance_decided(core: CoreState, leader: Leader) -> None:
    """Decide what a majority holds, counting only rounds of the own term (rules 9 and 18)."""
    index = reached_by_majority([core.persisted, *(progress.match for progress in leader.peers.values())])
    if index <= core.log.decided or index < leader.noop:
        return
    for round_ in core.log.decide(index):
        times = leader.ballots.get(round_.index)
        if times is not None and round_.size:
            leader.participants = times.nodes
            times.counted = len(times.votes)
            core.trace(
                "decided", round=round_.index, digest=round_.digest.hex()[:16], votes=dict(times.votes),
                quorum_us=core.now - times.started,
            )  # fmt: skip


def check_quorum(core: CoreState, leader: Leader) -> bool:
    """Rule 30: whether a majority was heard within an election timeout; asked from time to time."""
    if core.now < leader.check:
        return True
    leader.check = core.now + core.timing.election_min
    heard = sum(core.now - progress.heard <= core.timing.election_max for progress in leader.peers.values())
    return heard + 1 >= majority(len(core.nodes))


def on_link(core: CoreState, peer: NodeId, up: bool) -> None:
    """What was sent on the old connection may be lost: start again from what the peer has confirmed.

    Of one that has confirmed nothing in this term, nothing is known: it is asked, as after an election. To send it the log from
    round 1 would keep a node that was away for a moment busy with all that it has.
    """
    (core.down.discard if up else core.down.add)(peer)
    leader = core.role
    if isinstance(leader, Leader) and peer in leader.peers:
        progress = leader.peers[peer]
        progress.up = up
        progress.next = (progress.match or core.log.last.index) + 1
        progress.probing = True
        progress.asked = False
        progress.valid_from = leader.request + 1
    elif up and core.leader == peer:
        core.intake.send_again()


def _must_wait(progress: Progress) -> bool:
    """A peer whose log is not known yet gets one ballot at a time; the others at most a window (rule 17)."""
    if progress.probing:
        return progress.asked
    return progress.next - progress.match > WINDOW


def _send_ballot(core: CoreState, leader: Leader, peer: NodeId, made: dict[tuple[int, bool], Ballot]) -> None:
    """Send what the peer lacks; peers that stand at the same place get the same ballot, so it is encoded once."""
    progress = leader.peers[peer]
    wait = _must_wait(progress)
    ballot = made.get((progress.next, wait))
    if ballot is None:
        if not made:
            leader.request += 1
        log = core.log
        before = log.point(progress.next - 1)
        rounds = () if wait else log.batch(progress.next, MAX_BALLOT_BYTES)
        ballot = made[progress.next, wait] = Ballot(
            core.term, leader.request, before.index, before.term, before.digest, log.decided, core.written, core.synced, rounds
        )
    core.out.early.append((peer, ballot))
    progress.asked = True
    if ballot.rounds and not progress.probing:
        progress.next = ballot.rounds[-1].index + 1


def _note_times(core: CoreState, leader: Leader, node: NodeId, first: int, last: int) -> None:
    for index in range(max(first, last - WINDOW, core.written), last + 1):
        times = leader.ballots.get(index)
        if times is not None:
            times.votes.setdefault(str(node), core.now - times.started)


# --- the follower's side ---


def on_ballot(core: CoreState, ballot: Ballot) -> Vote:
    """Check a ballot of the current leader, take its rounds, and say what to answer once they are durable."""
    log = core.log
    if ballot.prev_index > log.last.index:
        return Vote(core.term, ballot.request, log.last.index, No.GAP)
    if log.point(ballot.prev_index).digest != ballot.prev_digest:
        assert ballot.prev_index > log.decided, f"decided round {ballot.prev_index} conflicts with the leader's (rule 12)"
        return Vote(core.term, ballot.request, _before_term(core, ballot.prev_index), No.CONFLICT)
    confirmed = ballot.prev_index
    reason = No.YES
    taken: list[Round] = []
    for round_ in ballot.rounds:
        reason = _take(core, round_, taken)
        if reason is not No.YES:
            break
        confirmed = round_.index
    decided = min(ballot.decided, confirmed)
    if decided > log.decided:
        log.decide(decided)
    if ballot.written > core.written:
        core.written, core.seen_written = ballot.written, True
    core.synced = min(ballot.synced, log.decided)
    if taken:
        _trace_vote(core, taken)
    if core.recovering and confirmed <= core.persisted:
        _restore(core, confirmed)
    if reason is not No.YES:
        core.trace("vote", first=confirmed + 1, round=confirmed + 1, digest="", ok=False, reason=reason.name.lower())
    return Vote(core.term, ballot.request, confirmed, reason)


def _take(core: CoreState, round_: Round, taken: list[Round]) -> No:
    """One round of a ballot: known already, in conflict, or new."""
    log = core.log
    if round_.index <= log.last.index:
        if log.point(round_.index).digest == round_.digest:
            return No.YES
        log.cut_after(round_.index - 1)  # rule 11: only from the first conflict on; asserts rule 12
        core.persisted = min(core.persisted, round_.index - 1)
        core.out.rounds[:] = [owed for owed in core.out.rounds if owed.index < round_.index]
    reason = check_round(round_, log.last, log.sessions)
    if reason is No.YES:
        log.append(round_)
        core.out.rounds.append(round_)
        taken.append(round_)
    return reason


def _trace_vote(core: CoreState, taken: list[Round]) -> None:
    if any(round_.size for round_ in taken):
        last = taken[-1]
        core.trace("vote", first=taken[0].index, round=last.index, digest=last.digest.hex()[:16], ok=True, reason="yes")


def _before_term(core: CoreState, index: int) -> int:
    """A round before the whole term that stands at `index`: one step back a term, not a round."""
    term = core.log.point(index).term
    while index > core.log.decided + 1 and core.log.point(index - 1).term == term:
        index -= 1
    return index - 1


def _restore(core: CoreState, index: int) -> None:
    """Rule 21: the journal holds the log of a leader through a round of its own term, elected without this node.

    That term is above every one in which this node answered before the damage, so nothing decided is missing.
    """
    if index and core.log.point(index).term == core.term:
        core.recovering = False
        core.save()
        core.trace("restored", last=core.log.last.index)
