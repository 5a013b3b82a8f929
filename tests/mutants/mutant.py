"""A seeded defect: one rule switched off by a small patch of one source file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """`old` stands exactly once in `file` (below node_runtime/) and becomes `new`; `tests` are those that should notice."""

    name: str
    rule: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def apply(self, root: Path) -> None:
        """Patch the copy of the package under `root`.

        Raises: PatchError where the code has moved on.
        """
        path = root / "node_runtime" / self.file
        text = path.read_text("utf-8")
        found = text.count(self.old)
        if found != 1:
            raise PatchError(f"{self.name}: {self.old!r} stands {found} times in {self.file}, not once. Mend the patch.")
        text = text.replace(self.old, self.new)
        try:
            compile(text, str(path), "exec")
        except SyntaxError as error:
            raise PatchError(f"{self.name}: the patched {self.file} is no Python: {error}. Mend the patch.") from error
        path.write_text(text, "utf-8")


class PatchError(Exception):
    """A patch does not fit the code any more."""
