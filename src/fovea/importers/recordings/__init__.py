"""Convert recordings of eye trackers to one fixation table."""
