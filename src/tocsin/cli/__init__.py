"""The command line: `tocsin`, also `python -m tocsin`. Needs the extra `cli`."""
