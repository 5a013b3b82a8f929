"""Elections: terms, PreVote, votes, stickiness, and what a node does when it loses or wins (rules 1 to 7, 29 to 31).

Raft as in Ongaro's thesis, sections 3.4, 3.6 and 9.6. A node whose journal was damaged (`recovering`) gives no
vote and stands for no election until a leader has filled its log again (rule 21).
"""

from __future__ import annotations

from node_runtime.messages import NodeId, VoteReply, VoteRequest
from node_runtime.quorum import Tally
from node_runtime.replication import start_leading
from node_runtime.state import Candidate, CoreState, Follower, Leader


def follow(core: CoreState, term: int, leader: NodeId | None, reason: str) -> None:
    """Become (or stay) a follower in `term`; a higher term is saved with no vote given in it."""
    assert term >= core.term, "terms never fall (rule 5)"
    old = core.role
    if isinstance(old, Leader):
        core.trace("step_down", reason=reason)
    moved = term > core.term
    if moved:
        core.term, core.voted_for = term, None
        core.save()
    if not isinstance(old, Follower):
        core.role = old = Follower(core.election_deadline())
    if leader is None:
        old.leader = None
        return
    if moved or old.leader != leader:
        core.trace("follow", leader=leader)
        core.intake.send_again()
    old.leader = leader
    old.heard = core.now
    old.deadline = core.election_deadline()


def on_timeout(core: CoreState) -> None:
    """The election deadline passed: ask first whether an election could be won (PreVote, rule 29)."""
    role = core.role
    assert not isinstance(role, Leader)
    role.deadline = core.election_deadline()
    if isinstance(role, Follower):
        role.leader = None
    if core.recovering:
        return
    _stand(core, pre=True)


def on_request(core: CoreState, sender: NodeId, request: VoteRequest) -> None:
    """Somebody asks for a vote. While a leader is heard it is not given, nor is the term taken (rule 31)."""
    if request.term > core.term and _leader_is_heard(core):
        _answer(core, sender, request, granted=False)
        return
    if request.pre:
        granted = request.term > core.term and _is_up_to_date(core, request) and not core.recovering
        _answer(core, sender, request, granted=granted)
        return
    if request.term > core.term:
        follow(core, request.term, None, f"node {sender} asks for votes of term {request.term}")
    granted = (
        request.term == core.term
        and core.voted_for in (None, sender)
        and isinstance(core.role, Follower)
        and core.role.leader is None
        and _is_up_to_date(core, request)
        and not core.recovering
    )
    if granted:
        if core.voted_for is None:
            core.voted_for = sender
            core.save()
            core.trace("voted", candidate=sender)
        assert isinstance(core.role, Follower)
        core.role.deadline = core.election_deadline()
    _answer(core, sender, request, granted=granted)


def on_reply(core: CoreState, sender: NodeId, reply: VoteReply) -> None:
    """A vote came in; only votes of the term that was asked for count (rules 4 and 6)."""
    if reply.term > core.term:
        follow(core, reply.term, None, f"node {sender} is in term {reply.term}")
        return
    role = core.role
    if not isinstance(role, Candidate) or reply.asked != role.term or reply.pre != role.pre or not reply.granted:
        return
    role.tally.add(sender)
    _count(core, role)


def _stand(core: CoreState, *, pre: bool) -> None:
    term = core.term + 1
    if not pre:
        core.term, core.voted_for = term, core.me
        core.save()
        core.count("elections")
    core.trace("election", pre=pre)
    role = Candidate(Tally(core.nodes), term, pre, core.election_deadline(), core.now)
    core.role = role
    role.tally.add(core.me)
    last = core.log.last
    for peer in core.peers:
        core.out.early.append((peer, VoteRequest(term, last.term, last.index, pre)))
    _count(core, role)


def _count(core: CoreState, role: Candidate) -> None:
    if not role.tally.won:
        return
    if role.pre:
        _stand(core, pre=False)
        return
    core.trace("leader", votes=sorted(role.tally.granted), took_us=core.now - role.since)
    start_leading(core)


def _leader_is_heard(core: CoreState) -> bool:
    role = core.role
    if isinstance(role, Leader):
        return True
    return isinstance(role, Follower) and role.leader is not None and core.now - role.heard < core.timing.election_min


def _is_up_to_date(core: CoreState, request: VoteRequest) -> bool:
    """Rule 3: the candidate's log is not behind this one, the last term first."""
    last = core.log.last
    return (request.last_term, request.last_index) >= (last.term, last.index)


def _answer(core: CoreState, sender: NodeId, request: VoteRequest, *, granted: bool) -> None:
    core.out.early.append((sender, VoteReply(core.term, request.term, request.pre, granted)))
