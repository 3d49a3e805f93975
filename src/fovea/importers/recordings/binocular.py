"""Merge the fixations of two eyes."""

import numpy as np


def merge_eyes(*eyes: np.ndarray) -> np.ndarray:
    """Merge the fixations of one or two eyes, [N, 6]: start, end, duration, x, y, pupil; no time is counted twice.

    Fixations of the eyes that overlap for more than half of the shorter are one: the mean of the eyes. If one eye
    has several of them, they count from the first start to the last end. Fixations of only one eye are kept. The
    result is in the order of time.
    """
    eyes = tuple(eye[eye[:, 2] > 0] for eye in eyes)
    one, other = eyes[0], eyes[1] if len(eyes) > 1 else eyes[0][:0]
    rows, label = np.vstack([one, other]), np.arange(len(one) + len(other))
    for number, row in enumerate(one):
        overlap = np.minimum(row[1], other[:, 1]) - np.maximum(row[0], other[:, 0])
        shorter = np.minimum(row[1] - row[0], other[:, 1] - other[:, 0])
        for linked in np.flatnonzero(2 * overlap > shorter) + len(one):
            label[label == label[linked]] = label[number]
    merged = []
    for value in dict.fromkeys(label.tolist()):
        members = np.flatnonzero(label == value)
        parts = [rows[members[members < len(one)]], rows[members[members >= len(one)]]]
        merged.append(np.mean([_joined(part) for part in parts if len(part)], axis=0))
    table = np.array(merged).reshape(-1, 6)
    table = table[table[:, 0].argsort(kind="stable")]
    twice = np.maximum(table[:-1, 1] - table[1:, 0], 0)
    table[:-1, 1:3] -= twice[:, None]
    return table[table[:, 2] > 0]


def _joined(rows: np.ndarray) -> np.ndarray:
    """Return the fixations of one eye as one. The tracker's duration is one sample longer than end - start."""
    start, end = rows[:, 0].min(), rows[:, 1].max()
    last = rows[rows[:, 1].argmax()]
    duration = end - start + last[2] - (last[1] - last[0])
    return np.array([start, end, duration, *np.average(rows[:, 3:], axis=0, weights=rows[:, 2])])
