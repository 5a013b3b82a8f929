"""votesync's command line: it writes a compose file, runs what the file says on an engine, and checks what came out.

A verb (`commands/`) reads the file (`compose.py`), looks at what runs (`engines/`), decides what to do (`plan.py`), does
it, and returns a value (`results.py`) that `app.py` prints.
"""

from __future__ import annotations
