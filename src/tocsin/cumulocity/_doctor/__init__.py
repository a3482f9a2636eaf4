"""Asks a tenant what the platform's documents leave open and our behaviour rests on.

A probe looks (I/O, thin) and judges what was seen (pure). `examine` runs the table of them.
"""
