"""Formats of other people: eye trackers, published maps, raw data sets."""
