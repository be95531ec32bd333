"""Micro-benchmarks of our own code: ratios measured side by side, in one run on one machine."""
