"""`python -m votesync_cli` is `votesync`."""

from __future__ import annotations

from votesync_cli.app import main

if __name__ == "__main__":
    main()
