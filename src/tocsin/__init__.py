"""Async SDK for alarm platforms."""
