"""`python -m node_runtime node|client|bench|ctl`: a node, the load of a client service, as much load as it takes, the admin's
command.
"""

from __future__ import annotations

import os
import sys

USAGE = "usage: python -m node_runtime node | client [send …] | bench … | ctl status|health|fault|faults|heal …"


def main(argv: list[str]) -> int:
    """Run one of the four; nothing of the others is imported."""
    what, rest = (argv[0] if argv else ""), argv[1:]
    if what == "node" and not rest:
        from node_runtime import daemon

        return daemon.main(os.environ)
    if what == "ctl":
        from node_runtime import ctl

        return ctl.main(rest)
    if what == "client" and rest[:1] == ["send"]:
        from node_runtime import sending

        return sending.main(rest[1:])
    if what == "client":
        from node_runtime import load

        return load.main(rest)
    if what == "bench":
        from node_runtime import bench

        return bench.main(rest)
    print(USAGE, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
