"""What tocsin costs, in ratios; see docs/performance.md."""
