"""The form of the code, held by a test: short functions and modules, a sentence first, pure cores, honest tests."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(path for package in ("node_runtime", "votesync_cli", "benchmarks") for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
LONGEST_FUNCTION = 40
LONGEST_MODULE = 400


def words(text: str) -> list[str]:
    return text.split()


# Modules that decide and touch nothing: what they may import of the standard library and of others.
PURE_NODE = words("""
    values messages wire codec config records votelog quorum rounds log consensus state sessions election replication writing
    intake faults
""")
PURE_CLI = words("""
    cluster compose compose_model compose_reader compose_checks marked plan formation results votes votes_model votes_evidence
    sampling fault_words fault_results chaos_plan chaos_results verify/*
    recorded stories blocks explain explain_waits timeline timeline_* scrolling views_text
    report/clients report/fairness report/happenings report/markdown report/model report/moments report/nodes report/numbers
    report/page report/plots_svg report/tables report/words
""")
PLAIN = words("""
    __future__ array bisect collections collections.abc dataclasses decimal enum errno functools hashlib heapq itertools json
    math operator re struct typing zlib
""")
ALSO = {  # each with its reason
    "node_runtime/faults.py": {"random"},  # a generator made from the seed in the request, never the global one
    "node_runtime/wire.py": {"sys"},  # the byte order of this machine
    "votesync_cli/compose.py": {"os", "jinja2", "pathlib"},  # reads the one file; os.environ is a default argument
    "votesync_cli/compose_model.py": {"pathlib"},  # paths as values
    "votesync_cli/compose_reader.py": {"pathlib", "shlex"},  # the same; and commands are split as a shell does
    "votesync_cli/marked.py": {"yaml"},  # a parser is pure
    "votesync_cli/results.py": {"pathlib"},  # paths as values
    "votesync_cli/chaos_plan.py": {"random"},  # a generator made from the seed, never the global one
    "votesync_cli/chaos_results.py": {"pathlib"},  # paths as values
    "votesync_cli/timeline_svg.py": {"html"},  # escaping is pure
    "votesync_cli/views_text.py": {"datetime"},  # times as text
    "votesync_cli/report/numbers.py": {"math"},
    "votesync_cli/report/tables.py": {"datetime"},  # times as text
    "votesync_cli/report/plots_svg.py": {"html", "xml.etree"},  # an SVG is read and written as text
    "votesync_cli/report/page.py": {"base64", "jinja2", "markupsafe"},  # text into a template
    "votesync_cli/verify/check.py": {"pathlib", "time"},  # opens the files to be checked, and says how long it took
    "votesync_cli/verify/rules_journal.py": set(  # the one module that reads the nodes' journals
        words("os pathlib node_runtime.codec node_runtime.journal_frames node_runtime.journal_scan node_runtime.storage")
    ),
    "votesync_cli/verify/selftest.py": {"pathlib", "tempfile"},  # writes broken files to see that they are found broken
    "votesync_cli/verify/history.py": {"pathlib"},  # the directory of histories
}
CLI_MAY_USE = {"config", "errors", "load", "messages", "records", "votelog"}


def modules(path: Path) -> Iterator[str]:
    """Every module that the file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module in {"node_runtime", "votesync_cli", "votesync_cli.report"}:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def name(path: Path) -> str:
    """How a file is called in messages."""
    return path.relative_to(ROOT).as_posix()


def is_pure(path: Path) -> bool:
    package, _, rest = name(path).removesuffix(".py").partition("/")
    patterns = PURE_NODE if package == "node_runtime" else PURE_CLI
    return any(fnmatch(rest, pattern) for pattern in patterns)


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_there_is_something_to_look_at() -> None:
    assert len(SOURCES) > 60
    assert sum(map(is_pure, SOURCES)) > 25
    missing = [m for m in PURE_NODE if not (ROOT / "node_runtime" / f"{m}.py").exists()]
    assert not missing, "the list of pure modules names what is not there"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_functions_are_short(path: Path) -> None:
    lengths = {f"{f.name} (line {f.lineno})": (f.end_lineno or 0) - f.lineno + 1 for f in functions(path)}
    long = {function: length for function, length in lengths.items() if length > LONGEST_FUNCTION}
    assert not long, f"longer than {LONGEST_FUNCTION} lines; split by what they do"


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=name)
def test_modules_are_short_and_open_with_a_sentence(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") <= LONGEST_MODULE, "split it by what it does"
    if path.name == "__init__.py" and not text.strip():
        return
    opening = (ast.get_docstring(ast.parse(text)) or "").split("\n\n")[0]
    assert re.search(r"\w.*[.:…!?`]$", opening, re.DOTALL), "a module opens with a docstring that is a sentence"


@pytest.mark.parametrize("path", [path for path in SOURCES if is_pure(path)], ids=name)
def test_pure_modules_import_little(path: Path) -> None:
    allowed = {*PLAIN, *ALSO.get(name(path), ())}
    for module in modules(path):
        package, _, rest = module.partition(".")
        if module in allowed:
            continue
        if package == "node_runtime":
            own = name(path).startswith("node_runtime/")
            assert rest in ({*PURE_NODE, "errors"} if own else CLI_MAY_USE), f"{module} is no module that it may use"
        elif package == "votesync_cli":
            target = rest.replace(".", "/")
            assert target == "errors" or any(fnmatch(target, p) for p in PURE_CLI), f"{module} is not pure"
        else:
            pytest.fail(f"{module} is not on the list of what a pure module imports")


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_foreign_packages_stay_in_their_corner(path: Path) -> None:
    where = name(path)
    corners = {
        "rich": "votesync_cli/views*.py",
        "docker": "votesync_cli/engines/docker*.py",
        "uvloop": "node_runtime/daemon.py",
        "matplotlib": "*/plots.py",
    }
    for module in modules(path):
        package = module.partition(".")[0]
        assert fnmatch(where, corners.get(package, "*")), f"{package} belongs into {corners[package]}"
        assert package not in {"pickle", "marshal", "shelve"}, "nothing that runs code from bytes (rule 51)"


def quick_tests() -> list[Path]:
    return [path for path in TESTS if path.relative_to(ROOT / "tests").parts[0] in {"unit", "simulation"}]


@pytest.mark.parametrize("path", quick_tests(), ids=name)
def test_tests_of_the_core_neither_sleep_nor_mock(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert node.func.attr not in {"sleep", "patch", "setattr"}, f"line {node.lineno}: wait for nothing, replace nothing"
        if isinstance(node, ast.arg):
            assert node.arg not in {"monkeypatch", "mocker"}, f"line {node.lineno}: a core needs no mock"
    assert not [module for module in modules(path) if "mock" in module]


def todo_notes(path: Path) -> list[str]:
    pattern = r"#.*\b(TODO|FIXME|XXX|HACK)\b|^\s*except.*:\s*pass\b"
    return [line.strip() for line in path.read_text("utf-8").splitlines() if re.search(pattern, line)]


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_nothing_is_left_for_later(path: Path) -> None:
    assert not todo_notes(path)


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_exceptions_from_lint_have_reasons(path: Path) -> None:
    bare = [
        line.strip()
        for line in path.read_text("utf-8").splitlines()
        if re.search(r"#\s*(noqa|type: ignore)", line)
        and not re.search(r"(noqa: [A-Z0-9, ]+|ignore\[[\w, -]+\])\s*(#|-|\()\s*\w", line)
    ]
    assert not bare, "say beside the exception why it is one"
