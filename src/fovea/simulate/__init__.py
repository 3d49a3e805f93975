"""Simulated observers, which label images from their masks."""
