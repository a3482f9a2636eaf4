"""Asks a site what Milestone's documents leave open and our behaviour rests on."""
