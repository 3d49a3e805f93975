"""From fixations to pseudo-masks; nothing here imports torch."""
