"""The loops of `lattice.py`, compiled by Numba at the first call and cached on disk.

Shapes: N pixels of a chunk or of the image, S simplices, V vertices.
"""

import numpy as np

from fovea.prepare.refiners.densecrf.permutohedral import CORNERS, DIMENSIONS, ORDERS
from fovea.runtime.compiled import compiled

Array = np.ndarray
Arrays = tuple[Array, Array, Array]
Table = tuple[Array, Array, int]  # slots, keys, and the number of keys in use
_BLOCK = 256  # pixels whose coordinates stay in the first-level cache, in loops that the compiler vectorizes
_ROUND = np.float32(1.5 * 2**23)  # adding and subtracting it rounds a float32 half to even
_SIDE = np.float32(CORNERS)
_SHARE = np.float32(1 / CORNERS)
_ONE, _HALF, _ZERO = np.float32(1), np.float32(0.5), np.float32(0)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, for Fibonacci hashing
_ALL_RANKS = sum(range(CORNERS))


_compiled = compiled()


@_compiled
def _find(slots: Array, keys: Array, key: int) -> np.int64:
    """Return the slot with the number of a key, or the free slot for it."""
    spread = np.uint64(key) * _GOLDEN
    slot = np.int64(((spread >> np.uint64(32)) * np.uint64(slots.size)) >> np.uint64(32))
    while slots[slot] >= 0 and keys[slots[slot]] != key:
        slot = (slot + 1) & (slots.size - 1)
    return slot


@_compiled
def refill(slots: Array, keys: Array) -> None:
    """Enter the numbers of all keys into empty slots."""
    for entry in range(keys.size):
        slots[_find(slots, keys, keys[entry])] = entry


@_compiled
def place(pixels: Array, first: int, features: Arrays, radix: Array, offset: int, codes: Array, weights: Array) -> None:
    """Compute the code of the simplex and the barycentric weights of each pixel, block by block."""
    across, down, shade = features
    point = np.empty((CORNERS, _BLOCK), np.float32)
    base = np.empty((CORNERS, _BLOCK), np.int32)
    rank = np.empty((CORNERS, _BLOCK), np.int32)
    excess = np.empty(_BLOCK, np.int32)
    for start in range(0, codes.size, _BLOCK):
        size = min(_BLOCK, codes.size - start)
        stop = start + size
        _elevate(pixels[start:stop], first + start, across, down, shade, point)
        _enclose(point, base, rank, excess, size)
        _encode(base, rank, radix, offset, codes[start:stop])
        _weigh(point, weights[start:stop])


@_compiled
def _elevate(pixels: Array, first: int, across: Array, down: Array, shade: Array, point: Array) -> None:
    """Compute the coordinates of the pixels on the hyperplane of the lattice (p. 5 of Adams et al.)."""
    y = first // across.size
    x = first - y * across.size
    for k in range(len(pixels)):
        total = _ZERO
        for i in range(DIMENSIONS, 0, -1):
            feature = shade[pixels[k, i - 3], i - 3] if i > 2 else down[y] if i == 2 else across[x]
            point[i, k] = total - np.float32(i) * feature
            total += feature
        point[0, k] = total
        x += 1
        if x == across.size:
            x = 0
            y += 1


@_compiled
def _enclose(point: Array, base: Array, rank: Array, excess: Array, size: int) -> None:
    """Find the simplex around each point: its first vertex in steps of `CORNERS`, and the order of the remainders.

    The remainders, in the same steps, replace the coordinates in `point`.
    """
    excess[:size] = 0
    for i in range(CORNERS):
        for k in range(size):
            nearest = (point[i, k] * _SHARE + _ROUND) - _ROUND
            point[i, k] -= nearest * _SIDE
            base[i, k] = np.int32(nearest)
            excess[k] += np.int32(nearest)
            rank[i, k] = 0
    for i in range(DIMENSIONS):
        for j in range(i + 1, CORNERS):
            for k in range(size):
                less = np.int32(point[i, k] < point[j, k])
                rank[i, k] += less
                rank[j, k] += np.int32(1) - less
    # Rounding may leave the hyperplane by `excess` steps: step back where that costs least.
    for i in range(CORNERS):
        for k in range(size):
            moved = rank[i, k] + excess[k]
            turn = np.int32(moved < 0) - np.int32(moved >= CORNERS)
            rank[i, k] = moved + turn * np.int32(CORNERS)
            base[i, k] += turn
            point[i, k] = (point[i, k] - _SIDE * np.float32(turn)) * _SHARE


@_compiled
def _encode(base: Array, rank: Array, radix: Array, offset: int, codes: Array) -> None:
    for k in range(codes.size):
        first, order = offset // CORNERS, np.int32(0)
        for i in range(DIMENSIONS):
            first += base[i, k] * radix[i]
            order = order * np.int32(CORNERS) + rank[i, k]
        codes[k] = first * ORDERS + order


@_compiled
def _weigh(point: Array, weights: Array) -> None:
    """Compute barycentric coordinates (p. 10 of Adams et al.): differences of the sorted remainders."""
    size = len(weights)
    # A sorting network for six values, largest first, over all pixels side by side.
    for low, high in ((0, 5), (1, 3), (2, 4), (1, 2), (3, 4), (0, 3), (2, 5), (0, 1), (2, 3), (4, 5), (1, 2), (3, 4)):
        for k in range(size):
            one, other = point[low, k], point[high, k]
            point[low, k] = max(one, other)
            point[high, k] = min(one, other)
    for k in range(size):
        weights[k, 0] = point[5, k] + (_ONE - point[0, k])
        for corner in range(1, CORNERS):
            weights[k, corner] = point[5 - corner, k] - point[6 - corner, k]


@_compiled
def _fall(order: int, radix: Array, fall: Array) -> None:
    """Compute by how much a key falls at each rank: by that of the coordinate that has the rank in this order."""
    unplaced = _ALL_RANKS
    for i in range(DIMENSIONS - 1, -1, -1):
        rank = order % CORNERS
        order //= CORNERS
        fall[rank] = CORNERS * radix[i]
        unplaced -= rank
    fall[unplaced] = 0


@_compiled
def number(
    codes: Array, done: int, radix: Array, simplex: Array, corners: Array, table: Table, vertex_table: Table
) -> tuple[int, int, int]:
    """Number the simplices of `codes` from `done` on, in the order of their appearance, and their vertices.

    Stops when a table is full, so that the caller grows it: arrays that change in the loop would double the time.
    Returns the position reached, and the number of simplices and of vertices.
    """
    slots, keys, used = table
    vertex_slots, vertex_keys, vertices = vertex_table
    last_code, last = np.int64(-1), np.int32(-1)
    step = radix.sum()
    fall = np.zeros(CORNERS, np.int64)
    for k in range(done, codes.size):
        code = codes[k]
        if code != last_code:
            slot = _find(slots, keys, code)
            last = slots[slot]
            if last < 0:
                if used + CORNERS > keys.size or vertices + CORNERS > vertex_keys.size:
                    return k, used, vertices
                last = np.int32(used)
                slots[slot], keys[used] = last, code
                _fall(code % ORDERS, radix, fall)
                # From one vertex to the next, every coordinate grows by 1, except for one that falls by 5.
                key = code // ORDERS * CORNERS
                for corner in range(CORNERS):
                    if corner > 0:
                        key += step - fall[CORNERS - corner]
                    slot = _find(vertex_slots, vertex_keys, key)
                    if vertex_slots[slot] < 0:
                        vertex_slots[slot], vertex_keys[vertices] = vertices, key
                        vertices += 1
                    corners[used, corner] = vertex_slots[slot]
                used += 1
            last_code = code
        simplex[k] = last
    return codes.size, used, vertices


@_compiled
def meet(slots: Array, keys: Array, steps: Array) -> Array:
    """Return both neighbors of each vertex along each axis, int32 [6, V, 2]; V stands for a missing neighbor."""
    neighbors = np.full((CORNERS, keys.size, 2), keys.size, np.int32)
    for axis in range(CORNERS):
        for vertex in range(keys.size):
            other = slots[_find(slots, keys, keys[vertex] + steps[axis])]
            if other >= 0:
                neighbors[axis, vertex, 0] = other
                neighbors[axis, other, 1] = vertex
    return neighbors


@_compiled
def splat(simplex: Array, weights: Array, corners: Array, values: Array, vertices: int, spread: Array) -> Array:
    """Sum the values of the pixels on the vertices, with a zero at the end for missing vertices."""
    spread[:] = _ZERO
    for k in range(simplex.size):
        mine, value = simplex[k], values[k]
        for corner in range(CORNERS):
            spread[mine, corner] += weights[k, corner] * value
    held = np.zeros(vertices + 1, np.float32)
    for s in range(len(corners)):
        for corner in range(CORNERS):
            held[corners[s, corner]] += spread[s, corner]
    return held


@_compiled
def blur(held: Array, neighbors: Array) -> Array:
    """Filter with the weights 1/2, 1, 1/2 along each axis in turn."""
    blurred = np.zeros_like(held)
    for axis in range(CORNERS):
        for vertex in range(held.size - 1):
            one, other = neighbors[axis, vertex]
            blurred[vertex] = held[vertex] + _HALF * (held[one] + held[other])
        held, blurred = blurred, held
    return held


@_compiled
def interpolate(simplex: Array, weights: Array, corners: Array, held: Array, spread: Array, out: Array) -> None:
    """Write the values at the pixels into `out`: the barycentric mean over the simplex around each."""
    for s in range(len(corners)):
        for corner in range(CORNERS):
            spread[s, corner] = held[corners[s, corner]]
    for k in range(simplex.size):
        total = _ZERO
        for corner in range(CORNERS):
            total += weights[k, corner] * spread[simplex[k], corner]
        out[k] = total
