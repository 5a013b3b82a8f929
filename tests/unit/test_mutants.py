"""The mutants of `python -m tests.mutants` fit the code as it is: each patch applies, each test that they name is there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant, PatchError

ROOT = Path(__file__).resolve().parent.parent.parent


def copy_of(mutant: Mutant, root: Path) -> Path:
    """The one file that the mutant patches, in a tree of its own."""
    (root / "node_runtime").mkdir()
    return Path(shutil.copy(ROOT / "node_runtime" / mutant.file, root / "node_runtime" / mutant.file))


def test_there_are_enough_and_each_has_a_name_of_its_own() -> None:
    assert len(MUTANTS) >= 40
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_patch_fits_and_its_tests_exist(mutant: Mutant, tmp_path: Path) -> None:
    path = copy_of(mutant, tmp_path)
    before = path.read_text("utf-8")
    mutant.apply(tmp_path)
    assert path.read_text("utf-8") != before
    assert all((ROOT / test.partition("::")[0]).is_file() for test in mutant.tests)


def test_a_patch_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    stray = Mutant("stray", "0", "quorum.py", "no such line", "", ())
    copy_of(stray, tmp_path)
    with pytest.raises(PatchError, match="stands 0 times"):
        stray.apply(tmp_path)
    with pytest.raises(PatchError, match="is no Python"):
        Mutant("syntax", "0", "quorum.py", "return nodes // 2 + 1", "return (", ()).apply(tmp_path)
