"""Votesync measured beside what its users would pick instead, and its cost as work grows: `python -m benchmarks NAME`.

`compare` runs every system in turn, in one run on one machine: each is a `systems.System` that starts its members, lets
five clients work, and ends what it started. The other names measure votesync alone. Each writes `results/NAME.json`;
`report` makes the tables of docs/PERFORMANCE.md and the plots from these files. Nothing here is a test.
"""
