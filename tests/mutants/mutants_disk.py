"""Rules 19 to 28 and 51 switched off: the journal, its recovery, the state file, the frames of the wire."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

JOURNAL = "tests/component/test_journal.py"
DISK = "tests/component/test_journal_disk.py"
DAMAGE = "tests/component/test_journal_damage.py"
SHARED = "tests/component/test_shared_file.py"
HOSTILE = "tests/unit/test_codec_hostile.py"
DUTIES = "tests/scenarios/test_duties.py"

MUTANTS = (
    Mutant(
        "append without fsync",
        "1",
        "journal.py",
        "            write_all(storage, self._handle, frame, start)\n            storage.fdatasync(self._handle)\n",
        "            write_all(storage, self._handle, frame, start)\n",
        (DISK, DUTIES),
    ),
    Mutant(
        "vote without fsync",
        "1",
        "state_file.py",
        "                write_all(self._storage, self._handle, slot, place)\n"
        "                self._storage.fdatasync(self._handle)\n",
        "                write_all(self._storage, self._handle, slot, place)\n",
        (DISK, DUTIES),
    ),
    Mutant("saved terms fall", "5", "state_file.py", "assert state.term >= self.state.term, f", "assert True, f", (JOURNAL,)),
    Mutant(
        "length of a record not checked",
        "19",
        "journal_frames.py",
        "        if length > min(self._size - offset - FRAME_HEAD, MAX_PAYLOAD):\n            return None\n",
        "",
        (DAMAGE,),
    ),
    Mutant(
        "crc not checked",
        "19",
        "journal_frames.py",
        "        if zlib.crc32(payload, zlib.crc32(head[_HEAD.size :], self._seed)) != checksum:\n            return None\n",
        "",
        (DAMAGE,),
    ),
    Mutant(
        "torn record kept", "20", "journal.py", "        if tail is not Tail.CLEAN:\n            scan.cut(end)\n", "", (DAMAGE,)
    ),
    Mutant(
        "torn record is not kept aside",
        "20",
        "journal_scan.py",
        "            if used > end.offset:\n",
        "            if False:\n",
        (DAMAGE,),
    ),
    Mutant(
        "sound records behind a broken one ignored",
        "21",
        "journal_scan.py",
        " or (leftover and self._sound_behind(end, later)):",
        ":",
        (DAMAGE,),
    ),
    Mutant(
        "watermark ignored",
        "21",
        "journal_scan.py",
        "if self._promised is None or self._promised > end.number or",
        "if",
        (DAMAGE,),
    ),
    Mutant("rot taken for a crash", "21", "journal.py", "        if tail is Tail.ROT:\n", "        if False:\n", (DAMAGE,)),
    Mutant(
        "a recovering node keeps its term",
        "21",
        "daemon.py",
        "hard = HardState(hard.term + 1, None, True)",
        "hard = HardState(hard.term, None, True)",
        (DUTIES,),
    ),
    Mutant(
        "gaps in the replay",
        "22",
        "journal_scan.py",
        "        if frame.after > self.map.last:\n",
        "        if False:\n",
        (JOURNAL,),
    ),
    Mutant("gaps in the journal", "22", "journal.py", "        if after > last:\n", "        if False:\n", (JOURNAL,)),
    Mutant(
        "fsync error tried again",
        "24",
        "journal.py",
        "            write_all(storage, self._handle, frame, start)\n            storage.fdatasync(self._handle)\n",
        "            write_all(storage, self._handle, frame, start)\n            try:\n"
        "                storage.fdatasync(self._handle)\n            except OSError:\n"
        "                storage.fdatasync(self._handle)\n",
        (DISK, DUTIES),
    ),
    Mutant(
        "a failed journal is used again",
        "24",
        "journal.py",
        "        if self._failed is not None:\n            raise self._failed\n",
        "        return\n",
        (DISK,),
    ),
    Mutant(
        "a failed file is used again",
        "24",
        "shared_file.py",
        "        if self._failed is not None:\n            raise self._failed\n",
        "        return\n",
        (SHARED,),
    ),
    Mutant(
        "unsure tail not written again",
        "24",
        "journal.py",
        "        for at in range(end.first_unsure, end.offset, _COPY):\n",
        "        for at in range(0):\n",
        (DISK,),
    ),
    Mutant("unsure vote not written again", "24", "state_file.py", "            file.save(file.state)\n", "", (DISK,)),
    Mutant(
        "short write not looped",
        "25",
        "storage.py",
        "    if done == len(data):\n        return\n",
        "    if done:\n        return\n",
        (DISK, SHARED),
    ),
    Mutant(
        "no fsync of the directory",
        "26",
        "storage.py",
        "        storage.fsync_dir(directory)\n    except",
        "    except",
        (DISK, SHARED),
    ),
    Mutant(
        "no fsync before the rename",
        "26",
        "storage.py",
        "        storage.fdatasync(handle)\n        storage.rename(",
        "        storage.rename(",
        (DISK, SHARED),
    ),
    Mutant(
        "a new output.txt without fsync of its directory",
        "26",
        "shared_file.py",
        "        self._storage.fsync_dir(self._directory)  # also where it exists: its maker may have died before this\n",
        "",
        (SHARED,),
    ),
    Mutant("foreign journal accepted", "27", "state_file.py", "    if found[0] != own[0]:\n", "    if False:\n", (JOURNAL,)),
    Mutant("second user let in", "27", "journal.py", "    if not storage.lock(lock):\n", "    if False:\n", (JOURNAL,)),
    Mutant("start empty without the state", "28", "journal.py", "        if there:\n", "        if False:\n", (JOURNAL,)),
    Mutant(
        "start empty without the rounds",
        "28",
        "journal.py",
        "    if not there and state.state != HardState():\n",
        "    if False:\n",
        (JOURNAL,),
    ),
    Mutant(
        "an older state file accepted",
        "28",
        "journal.py",
        "        if scan.term > self.state.term:\n",
        "        if False:\n",
        (JOURNAL,),
    ),
    Mutant(
        "a node without its journal let in",
        "28",
        "shared_file.py",
        '            if _content(storage, f"{directory}/{name}") != mark:\n',
        "            if False:\n",
        (SHARED,),
    ),
    Mutant("frames of another cluster taken", "51", "codec.py", "    if found != tag:\n", "    if False:\n", (HOSTILE,)),
    Mutant(
        "a round may contradict itself",
        "38",
        "codec.py",
        "    if not whole or len({span.session for span in sessions}) != session_count:\n",
        "    if False:\n",
        (HOSTILE,),
    ),
)
