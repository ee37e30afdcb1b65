"""What the whole path costs on the machine in front of us, and whether it answers steadily.

One command each, `python -m realmnet_benchmarks.path NAME`: `speed`, `start`, `soak`, `idle` and
`steadiness` (see docs/path.md). Each cell runs in a process of its own; raw samples are kept.
"""
