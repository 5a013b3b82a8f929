"""The table of sessions follows the log, forth and back (rules 34 to 36)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node_runtime.sessions import Place, SessionTable
from tests.unit.node_maker import chain, msg


def test_a_session_that_was_never_seen_stands_at_nothing() -> None:
    table = SessionTable()
    assert (table.place("a"), table.last("a"), len(table)) == (Place(0, 0), 0, 0)


def test_rule_36_a_round_continues_each_session_without_a_gap_or_a_double() -> None:
    first, second = chain((1, [msg("a", 1), msg("b", 1)]), (1, [msg("a", 2, 2), msg("a", 3, 3)]))
    gap, double = chain((1, [msg("a", 2)]))[0], first
    table = SessionTable()
    assert not table.continues(gap)
    assert table.continues(first)
    table.apply(first)
    assert not table.continues(double)
    assert table.continues(second)
    table.apply(second)
    assert table.snapshot() == {"a": Place(3, 2), "b": Place(1, 1)}


@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=4), max_size=12), st.data())
def test_rule_34_what_is_reverted_was_never_there(shape: list[list[str]], data: st.DataObject) -> None:
    seqs: dict[str, int] = {}
    content = []
    for sessions in shape:
        messages = []
        for place, session in enumerate(sessions):
            seqs[session] = seqs.get(session, 0) + 1
            messages.append(msg(session, seqs[session], place))
        content.append((1, messages))
    rounds = chain(*content)
    keep = data.draw(st.integers(0, len(rounds)))
    table, expected = SessionTable(), SessionTable()
    for round_ in rounds[:keep]:
        expected.apply(round_)
    undo = [table.apply(round_) for round_ in rounds]
    for each in reversed(undo[keep:]):
        table.revert(each)
    assert table.snapshot() == expected.snapshot()
