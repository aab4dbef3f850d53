"""Malformed input of every kind that comes from outside, made from a seed: see corpus.py."""
