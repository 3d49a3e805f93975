"""Simulated observers: labels made from masks."""
