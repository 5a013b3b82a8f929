"""The reader: every byte is accounted for, lines are numbered, and memory stays small."""

from __future__ import annotations

import io
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from verify_maker import blocks, closed, file_of, good_rounds

from node_runtime.records import SEPARATOR
from votesync_cli.verify import reader
from votesync_cli.verify.reader import End, Fault, Run, read


def pieces(data: bytes) -> tuple[list[Run], list[Fault], End]:
    runs, faults, end = [], [], None
    for piece in read(io.BytesIO(data)):
        if isinstance(piece, Run):
            runs.append(piece)
        elif isinstance(piece, Fault):
            faults.append(piece)
        else:
            assert end is None
            end = piece
    assert end is not None
    return runs, faults, end


def placed(data: bytes) -> list[tuple[int, bytes, bytes]]:
    runs, _, _ = pieces(data)
    return [(run.line_of(i), run.nodes[i], run.body_of(i)) for run in runs for i in range(len(run))]


def by_lines(data: bytes) -> list[tuple[int, bytes, bytes]]:
    """The same, the plain way."""
    lines = data.split(b"\n")
    return [
        (number + 1, line.split()[1], lines[number + 1].removeprefix(b"Mensagem: "))
        for number, line in enumerate(lines)
        if line.startswith(b"Container ")
    ]


def ends(data: bytes) -> list[tuple[int, int]]:
    runs, _, _ = pieces(data)
    return [end for run in runs for end in run.round_ends()]


def ends_by_lines(data: bytes) -> list[tuple[int, int]]:
    found, offset = [], 0
    for number, line in enumerate(data.split(b"\n"), 1):
        offset += len(line) + 1
        if line == SEPARATOR[:-1]:
            found.append((number, offset))
    return found


texts = st.one_of(
    st.integers(0, 10**6).map(str),
    st.text(st.characters(blacklist_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=30),
    st.sampled_from(["Container 2 ", " time: 5 - message: 6", "#" * 56, "client 1 time: 2 - message: 3"]),
)
rows = st.tuples(st.integers(0, 63), st.sampled_from(["0", "c2", "t0-ab-1"]), st.integers(0, 2**53), texts)


@given(st.lists(st.lists(rows, min_size=1, max_size=5), max_size=8))
def test_reads_back_what_nodes_write(rounds: list[list[tuple[int, str, int, str]]]) -> None:
    data = file_of(rounds)
    _, faults, end = pieces(data)
    assert not faults
    assert end == End(len(data), data.count(b"\n"), 0, None, data.count(b"\n") + 1)
    assert placed(data) == by_lines(data)
    assert ends(data) == ends_by_lines(data)


@given(st.lists(st.lists(rows, min_size=1, max_size=5), min_size=1, max_size=6), st.data())
def test_no_damaged_byte_is_passed_over(rounds: list[list[tuple[int, str, int, str]]], data: st.DataObject) -> None:
    whole = file_of(rounds)
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:at] + b"\x00" + whole[at + 1 :]
    runs, faults, end = pieces(damaged)
    assert faults or end.torn is not None
    assert sum(len(run) for run in runs) <= sum(map(len, rounds))


@pytest.mark.parametrize("size", [1, 7, 64, 100, 1000])
def test_chunk_borders_change_nothing(size: int) -> None:
    class Drip(io.BytesIO):
        def read(self, wanted: int | None = -1) -> bytes:
            return super().read(size)

    data = file_of(good_rounds(20)) + b"garbage\n" + closed((1, "é", 5, "x y")) + closed((1, "c", 5, "é"))
    slow = [piece for piece in read(Drip(data)) if isinstance(piece, Run)]
    assert [(run.line_of(i), run.body_of(i)) for run in slow for i in range(len(run))] == [row[::2] for row in by_lines(data)]
    assert [end for run in slow for end in run.round_ends()] == ends_by_lines(data)


@pytest.mark.parametrize(
    ("data", "line", "what"),
    [
        (b"\x00\xff\xfe\n", 1, "not a block"),
        (closed((1, "a", 5, "1")) + b"\n", 4, "not a block"),
        (b"Container 1 \nContainer 2 \nMensagem: client 2 time: 5 - message: 3\n", 1, "without its `Mensagem`"),
        (b"Mensagem: client 2 time: 5 - message: 3\n", 1, "without its `Container`"),
        (SEPARATOR, 1, "without a block"),
        (closed((1, "a", 5, "1")) + SEPARATOR, 4, "without a block"),
        (blocks((1, "a", 5, "1")) + b"#" * 55 + b"\n", 3, "has 56 #"),
        (blocks((1, "a", 5, "1")).replace(b"1 \n", b"1\n") + SEPARATOR, 1, "blank"),
        (blocks((1, "a", 5, "1")).replace(b"Container 1", b"Container 64") + SEPARATOR, 1, "from 0 to 63"),
        (blocks((1, "a", 5, "1")).replace(b"\n", b"\r\n") + SEPARATOR, 1, "CR LF"),
        (b"Container 1 \nMensagem: \xff\xfe\n" + SEPARATOR, 2, "not UTF-8"),
        (b"Container 1 \nMensagem: client 1 time: 5 - message: a\x07b\n" + SEPARATOR, 2, "control character"),
        (b"Container 1 \nMensagem: client 1 time: 5 - message: " + b"a" * 20000 + b"\n" + SEPARATOR, 2, "longer than"),
        (b"Container 1 \nMensagem: client 1 time: 5 - message: " + b"a" * 200000 + b"\n" + SEPARATOR, 1, "without its"),
    ],
)
def test_faults_have_their_line(data: bytes, line: int, what: str) -> None:
    _, faults, _ = pieces(data)
    assert faults
    assert faults[0].line == line
    assert what in faults[0].what


@pytest.mark.parametrize(
    ("body", "columns"),
    [
        ("client 2 time: 368186 - message: 3", (b"2", b"368186", b"3")),
        ("client 1 time: 638613.5 - message: 3", (b"1", b"638613.5", b"3")),
        ("client[3] - 307326 - M[0]", (b"[3]", b"307326", b"0")),
        ("hello", (b"", b"", b"hello")),
        ("client 2 time: " + "9" * 5000 + " - message: 1", (b"", b"", b"client 2 time: " + b"9" * 5000 + b" - message: 1")),
    ],
)
def test_bodies(body: str, columns: tuple[bytes, bytes, bytes]) -> None:
    runs, faults, _ = pieces(f"Container 2 \nMensagem: {body}\n".encode() + SEPARATOR)
    assert not faults
    assert (runs[0].sessions[0], runs[0].times[0], runs[0].texts[0]) == columns


@pytest.mark.parametrize("cut", range(1, 120))
def test_a_file_that_is_cut_has_no_fault_but_is_not_complete(cut: int) -> None:
    data = closed((1, "a", 5, "1"))
    if cut >= len(data):
        cut = len(data) - 1
    _, faults, end = pieces(data[:-cut])
    assert not faults
    assert end.torn is not None or end.open_line == 1


def test_a_line_of_64_mib_is_skipped_not_held() -> None:
    class Long(io.RawIOBase):
        """Good blocks, a line without end, good blocks."""

        def __init__(self) -> None:
            self.parts = [closed((1, "a", 5, "1"))] + [b"x" * 65536] * 1024 + [b"\n" + closed((1, "a", 6, "2"))]

        def read(self, size: int = -1) -> bytes:
            return self.parts.pop(0) if self.parts else b""

    stream = Long()
    tracemalloc.start()
    found = list(read(stream))  # type: ignore[arg-type]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    faults = [piece for piece in found if isinstance(piece, Fault)]
    assert [fault.line for fault in faults] == [4]
    assert [(run.line_of(0), run.texts[0]) for run in found if isinstance(run, Run)] == [(1, b"1"), (5, b"2")]
    assert peak < 4 * reader.MAX_LINE + 4 * reader.CHUNK


def test_a_large_file_of_garbage_is_one_fault_a_chunk() -> None:
    _, faults, end = pieces(b"lorem ipsum\n" * 100_000)
    assert sum(fault.count for fault in faults) == 100_000
    assert len(faults) < 100
    assert end.lines == 100_000
