"""Losses that no library has."""
