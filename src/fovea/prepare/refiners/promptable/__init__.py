"""Promptable networks as refiners; torch is imported at the first image."""
