"""Turns: how the permission to write goes from writer to writer, and what the leader does when it stalls.

The leader grants the first turn of a decided round; each writer writes its turn and passes the permission on; the
last one reports to the leader, which starts the next round. Who writes next follows from the round itself and from
the nodes that the grant names as absent. Whatever happens, only decided bytes are written, each at its place, so a
writer whose grant was superseded does no harm (rules 39 to 44).
"""

from __future__ import annotations

from node_runtime.messages import Grant, NodeId, Policy, Round, Turn, TurnRefused, Written
from node_runtime.rounds import turn_bytes
from node_runtime.state import Chain, Compare, CoreState, Leader, TurnDone, WriteTurn
from node_runtime.votelog import MAX_TURNS

REPORTS_PER_TIMEOUT = 8
FAR_BEHIND = 16


# --- the leader's side ---


def lead_on(core: CoreState, leader: Leader) -> None:
    """Compare the file first (a new leader); then start the turns of the next decided round; watch the clock."""
    if not leader.compared:
        if core.leads and not leader.comparing:
            leader.comparing = True
            core.out.compare.append(Compare(core.synced, core.log.decided))
        return
    if leader.chain is not None:
        _watch(core, leader, leader.chain)
    while leader.chain is None and core.written < core.log.decided:
        round_ = core.log.round(core.written + 1)
        if round_.size:
            _start(core, leader, round_)
        else:
            core.written = round_.index


def on_compared(core: CoreState, after: int, index: int, changed: int) -> None:
    """The file holds all rounds up to `index`; when that is all that was decided, the granting goes on."""
    leader = core.role
    if not isinstance(leader, Leader) or not leader.comparing:
        return
    core.synced = min(core.synced, after)  # what was found missing below it was rewritten and is not fsynced yet
    if changed:
        core.count("repairs")
    core.trace("repair", start=core.log.point(after).end, end=core.log.point(index).end, changed=changed)
    if index < core.log.decided:
        core.out.compare.append(Compare(index, core.log.decided))
        return
    leader.comparing = False
    leader.compared = True
    leader.chain = None
    core.written = max(core.written, index)


def on_written(core: CoreState, written: Written) -> None:
    """A writer's report; it proves that the round is decided, to whoever holds the same one."""
    if not holds(core, written.round, written.digest):
        return
    leader = core.role
    if isinstance(leader, Leader):
        chain = leader.chain
        if chain is not None and chain.round == written.round and written.turn >= chain.turn:
            chain.turn, chain.progress = written.turn + 1, core.now
            if written.last:
                _finish(core, leader, chain)
        return
    _decide_to(core, written.round)
    if written.last:
        core.written = max(core.written, written.round)
        core.seen_written = True


def on_refused(core: CoreState, sender: NodeId, refused: TurnRefused) -> None:
    """A writer cannot take its turn: the leader writes the rest of the round, or repairs a file that is too short."""
    leader = core.role
    if not isinstance(leader, Leader) or leader.chain is None or leader.chain.round != refused.round:
        return
    if refused.short:
        compare_again(core, leader)
        return
    leader.absent_until[sender] = core.now + 4 * core.timing.turn_timeout
    _take_over(core, leader, leader.chain, f"node {sender} lacks the round")


def compare_again(core: CoreState, leader: Leader) -> None:
    """The file is shorter than it was: somebody cut it. The driver starts no later than where the file ends."""
    if not leader.comparing:
        leader.compared, leader.comparing, leader.chain = False, True, None
        core.out.compare.append(Compare(core.synced, core.log.decided))


def look_after_file(core: CoreState, leader: Leader) -> None:
    """From time to time: fsync what is new in the file, and look whether somebody has cut it."""
    if core.written > core.synced:
        core.out.sync.append(core.written)
    if leader.compared and leader.chain is None:
        core.out.check.append(core.log.point(core.written).end)


def _start(core: CoreState, leader: Leader, round_: Round) -> None:
    absent = _absent(core, leader, round_.index)
    leader.chain = Chain(round_.index, 0, 0, core.now, core.now, helped=bool(absent))
    turns = core.turns(round_)
    _trace_grant(core, round_, turns, 0, 0, absent, "")
    give(core, Grant(core.term, round_.index, round_.digest, 0, 0, absent))


def _watch(core: CoreState, leader: Leader, chain: Chain) -> None:
    """A turn that stalls is granted anew, to the leader itself, with all that follow it in the round."""
    waited = core.now - chain.progress
    if waited < core.timing.turn_timeout:
        return
    round_ = core.log.round(chain.round)
    stalled = core.turns(round_)[chain.turn]
    core.count("timeouts")
    core.trace("timeout", round=chain.round, turn=chain.turn, writer=stalled.writer, waited_us=waited)
    if core.now < leader.relay_until:
        leader.absent_until[stalled.writer] = core.now + 16 * core.timing.turn_timeout
    leader.relay_until = core.now + 8 * core.timing.turn_timeout
    _take_over(core, leader, chain, "timeout")


def _take_over(core: CoreState, leader: Leader, chain: Chain, reason: str) -> None:
    chain.attempt += 1
    chain.helped = True
    chain.progress = core.now
    round_ = core.log.round(chain.round)
    absent = frozenset(core.peers)
    _trace_grant(core, round_, core.turns(round_), chain.turn, chain.attempt, absent, reason)
    give(core, Grant(core.term, round_.index, round_.digest, chain.turn, chain.attempt, absent))


def _absent(core: CoreState, leader: Leader, index: int) -> frozenset[NodeId]:
    """Nodes whose turns the leader writes: unreachable, far behind, silent, or found stalling.

    After a stall whose writer is not known, each writer in turn answers to the leader (all others are "absent" to
    it), which finds the one that stalls.
    """
    silent = core.timing.election_min // 2
    return frozenset(
        peer
        for peer, progress in leader.peers.items()
        if not progress.up
        or progress.match + FAR_BEHIND < index
        or core.now - progress.heard > silent
        or core.now < leader.absent_until.get(peer, 0)
    )


def _finish(core: CoreState, leader: Leader, chain: Chain) -> None:
    leader.chain = None
    core.written = max(core.written, chain.round)
    core.seen_written = True
    if chain.helped:
        _tell_all(core, chain)
    times = leader.ballots.pop(chain.round, None)
    if times is not None:
        late = dict(list(times.votes.items())[times.counted :])
        round_ = core.log.round(chain.round)
        core.trace("written", round=chain.round, position=round_.end, late=late, took_us=core.now - times.started)
    for index in [index for index in leader.ballots if index < chain.round]:
        del leader.ballots[index]


def _tell_all(core: CoreState, chain: Chain) -> None:
    """The leader wrote for others: they cannot know from a turn of their own that their clients may be answered."""
    digest = core.log.round(chain.round).digest
    told = Written(core.term, chain.round, digest, chain.turn, chain.attempt, last=True)
    core.out.replies.extend((peer, told) for peer in core.peers)


# --- every node's side ---


def holds(core: CoreState, index: int, digest: bytes) -> bool:
    """Whether this node holds the very round that a peer speaks of."""
    return 1 <= index <= core.log.last.index and core.log.point(index).digest == digest


def on_grant(core: CoreState, sender: NodeId, grant: Grant) -> None:
    """A turn came: write it, if it is of the current term (rule 42) and this node holds the round."""
    leader = core.leader
    if leader is None:
        return
    if grant.round > core.log.last.index:
        core.parked = (sender, grant)  # the ballot with the round comes on another link and may be later
        return
    if not holds(core, grant.round, grant.digest):
        _refuse(core, leader, grant, short=False)
        return
    _decide_to(core, grant.round)
    turns = core.turns(core.log.round(grant.round))
    if grant.turn >= len(turns):
        return
    if isinstance(core.role, Leader):
        _relay(core, core.role, grant)
        return
    if (grant.term, grant.round, grant.attempt, grant.turn) > core.done:
        _perform(core, grant, turns, leader)


def unpark(core: CoreState) -> None:
    """A grant that came before its round is taken up when the round is here; one of an older term is forgotten."""
    if core.parked is None:
        return
    sender, grant = core.parked
    if grant.term != core.term:
        core.parked = None
    elif grant.round <= core.log.last.index:
        core.parked = None
        on_grant(core, sender, grant)


def on_turn_done(core: CoreState, done: TurnDone) -> None:
    """A turn is in the file: answer the clients whose messages it held and pass the permission on."""
    write = done.write
    key = (write.term, write.round, write.attempt)
    absent = core.held.pop(key, frozenset())
    leader = core.leader
    if write.term != core.term or leader is None:
        return
    round_ = core.log.round(write.round)
    grant = Grant(write.term, write.round, round_.digest, write.turn, write.attempt, absent)
    if done.short:
        _refuse(core, leader, grant, short=True)
        return
    turns = core.turns(round_)
    last = write.upto + 1 == len(turns)
    core.told.append([write.turn, write.start, write.start + len(write.data)])
    _settle_turn(core, round_, turns[write.upto])
    _report(core, leader, grant, write.upto, last=last)
    if last or _is_my_last(core, turns, write.upto):
        _trace_turns(core, round_, write)
    if not last:
        give(core, Grant(write.term, write.round, round_.digest, write.upto + 1, write.attempt, absent))


def give(core: CoreState, grant: Grant) -> None:
    """Hand a turn to whoever writes it: the node whose messages it holds, or the leader for one that is absent."""
    leader = core.leader
    assert leader is not None
    turns = core.turns(core.log.round(grant.round))
    writer = turns[grant.turn].writer
    if writer in grant.absent:
        writer = leader
    if isinstance(core.role, Leader) and core.now < core.role.relay_until and writer != core.me:
        grant = Grant(grant.term, grant.round, grant.digest, grant.turn, grant.attempt, frozenset(core.nodes) - {writer})
    if writer == core.me:
        _perform(core, grant, turns, leader)
    else:
        core.out.replies.append((writer, grant))


def settle(core: CoreState) -> None:
    """Answer clients for all rounds that are decided and in the file by now, and let go of old ones."""
    upto = min(core.written, core.log.decided)
    while core.settled < upto:
        core.settled += 1
        if core.intake.count:
            round_ = core.log.round(core.settled)
            core.out.acks.extend(core.intake.settle(round_, round_.count, core.now))
    core.log.trim(min(core.settled, core.persisted) + 1)  # what is forgotten here can be read back from the journal


def _relay(core: CoreState, leader: Leader, grant: Grant) -> None:
    """The permission came back to the leader: it writes for the absent one, or hands it to the next."""
    chain = leader.chain
    if chain is None or (grant.round, grant.attempt) != (chain.round, chain.attempt) or grant.turn < chain.turn:
        return
    chain.turn, chain.progress = grant.turn, core.now
    absent = _absent(core, leader, grant.round)
    give(core, Grant(grant.term, grant.round, grant.digest, grant.turn, grant.attempt, absent))


def _perform(core: CoreState, grant: Grant, turns: tuple[Turn, ...], leader: NodeId) -> None:
    """Order the write of a turn, together with the neighbouring turns that are this node's to write too."""
    upto = grant.turn
    while upto + 1 < len(turns):
        writer = turns[upto + 1].writer
        if (leader if writer in grant.absent else writer) != core.me:
            break
        upto += 1
    if core.done[:2] != (grant.term, grant.round):
        core.told.clear()
    core.done = (grant.term, grant.round, grant.attempt, upto)
    core.held[(grant.term, grant.round, grant.attempt)] = grant.absent
    start, end = turns[grant.turn].start, turns[upto].end
    data = turn_bytes(core.log.round(grant.round), turns[grant.turn]._replace(end=end))
    core.out.writes.append(WriteTurn(grant.term, grant.round, grant.turn, upto, grant.attempt, start, data))


def _refuse(core: CoreState, leader: NodeId, grant: Grant, *, short: bool) -> None:
    refused = TurnRefused(grant.term, grant.round, grant.turn, grant.attempt, short)
    if leader == core.me:
        assert isinstance(core.role, Leader)
        compare_again(core, core.role)
    else:
        core.out.replies.append((leader, refused))


def _report(core: CoreState, leader: NodeId, grant: Grant, upto: int, *, last: bool) -> None:
    """Tell the leader that the round is written, or now and then how far it is; a winner tells everybody."""
    written = Written(grant.term, grant.round, grant.digest, upto, grant.attempt, last)
    if leader == core.me:
        on_written(core, written)
    elif last or core.now - core.reported > core.timing.turn_timeout // REPORTS_PER_TIMEOUT:
        core.reported = core.now
        core.out.replies.append((leader, written))
    if last and core.log.round(grant.round).policy is Policy.WINNER:
        core.out.replies.extend([(peer, written) for peer in core.peers if peer != leader])


def _settle_turn(core: CoreState, round_: Round, turn: Turn) -> None:
    if core.intake.count:
        core.out.acks.extend(core.intake.settle(round_, turn.last, core.now))


def _decide_to(core: CoreState, index: int) -> None:
    """Only decided rounds are granted, so a grant of this term for a round that this node holds decides it here too."""
    if index > core.log.decided:
        core.log.decide(index)


def _is_my_last(core: CoreState, turns: tuple[Turn, ...], upto: int) -> bool:
    return len(core.told) >= MAX_TURNS or all(turn.writer != core.me for turn in turns[upto + 1 :])


def _trace_turns(core: CoreState, round_: Round, write: WriteTurn) -> None:
    position = write.start + len(write.data)
    core.trace("turn", round=round_.index, attempt=write.attempt, turns=list(core.told), position=position)
    core.told.clear()


def _trace_grant(
    core: CoreState, round_: Round, turns: tuple[Turn, ...], turn: int, attempt: int, absent: frozenset[NodeId], reason: str
) -> None:
    rest = turns[turn:]
    shown = [[each.writer, each.last - each.first, each.start, each.end] for each in rest[:MAX_TURNS]]
    core.trace(
        "grant", round=round_.index, turn=turn, attempt=attempt, turns=shown, more=len(rest) - len(shown),
        absent=sorted(absent), reason=reason,
    )  # fmt: skip
