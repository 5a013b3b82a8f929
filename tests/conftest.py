"""What every test may rely on, whatever started the test run."""

from __future__ import annotations

import signal

# A shell ignores SIGINT in what it runs in the background, and programs inherit that: the tests of Ctrl-C could not work.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
