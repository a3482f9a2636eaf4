"""tocsin beside other Python clients, each in a process of its own, on one loopback server.

`python -m benchmarks.peers --help`; see docs/performance.md.
"""
