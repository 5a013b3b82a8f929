"""The node of a votesync cluster: N nodes vote on the order of messages and write them to one shared file.

The nouns (docs/ARCHITECTURE.md tells the same as a picture):

- A client's `Message` has a session and a sequence number, which make it unique, and a time.
- A `Round` is one entry of the replicated log: sorted messages that are voted on together.
- A `Ballot` proposes rounds, a `Vote` confirms that they are on a node's disk; a majority decides a round.
- A `Turn` is one permission to write; a `Grant` hands it to its writer, `Written` reports that it was used.

The life of a message: `gateway` reads it from a client and renders its block; `intake` keeps it until it is written;
the leader's `Gathering` (`rounds`) puts it into a round; `replication` has the round voted on, while `journal` makes it
durable on each node; `writing` passes the turns from writer to writer, and `shared_file` writes each at its place; then
`intake` says whom to answer.

`consensus` steps over all of that without a clock, a socket or a file. `node` is the driver that feeds it and obeys it;
`daemon` is the process around the driver.
"""

from __future__ import annotations

__version__ = "0.1.0"
