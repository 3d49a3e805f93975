"""Damaged tables and lists are read, or end in one line that names the file."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.importers.test_fuzz import MUTATIONS, mutated

from fovea.data.fixations import NEEDED, read_fixations
from fovea.data.splits import read_list

IDS = ["a", "#b", "007", "größe 1", "benign_im00"]
TABLE = "\n".join(
    [
        ",".join([*NEEDED, "observer"]),
        *(f"{name}.png,{index},0.{index},0.5,{99 + index},p{index % 2}" for name in IDS for index in range(1, 9)),
    ]
)
READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "table": (TABLE, lambda path: read_fixations(path, IDS).first(0.5).summary()),
    "list": ("# mine\n" + "\n".join(f"{name}.png" for name in IDS), lambda path: read_list(path, IDS)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_damaged_files_never_raise_anything_else(name: str, tmp_path: Path) -> None:
    content, read = READERS[name]
    path, rng, refused = tmp_path / "file.txt", random.Random(0), 0
    for _ in range(MUTATIONS):
        path.write_bytes(mutated(content.encode(), rng))
        try:
            read(path)
        except ValueError as error:
            assert type(error) is ValueError and "file.txt" in str(error) and "\n" not in str(error)
            refused += 1
    assert refused > 0
