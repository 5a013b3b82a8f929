"""All mutants, in the order of the rules."""

from __future__ import annotations

from tests.mutants import mutants_disk, mutants_log, mutants_turns, mutants_votes

MUTANTS = (*mutants_votes.MUTANTS, *mutants_log.MUTANTS, *mutants_turns.MUTANTS, *mutants_disk.MUTANTS)
