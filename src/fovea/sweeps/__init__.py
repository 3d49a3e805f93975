"""Runs in numbers: what one returns, several in one job, and the search of Optuna."""
