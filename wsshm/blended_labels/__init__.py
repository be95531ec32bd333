"""Blended labels made ahead of training: a teacher's labels of whole pictures as 8-bit PNGs, by Ray Data."""
