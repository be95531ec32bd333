"""Architectures of our own: NAME.py registers NAME; see `wsshm.models`."""
