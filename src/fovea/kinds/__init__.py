"""The kinds of data: what the commands need of each, from a plan to pictures."""
