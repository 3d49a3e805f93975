"""Generated data sets appear once, whole or not at all."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fovea.data.generated import draw_once


def draw(folder: Path) -> None:
    (folder / "a.txt").write_text("drawn")


def test_a_failed_drawing_leaves_nothing_and_other_content_is_kept(tmp_path: Path) -> None:
    def full(folder: Path) -> None:
        draw(folder)
        raise OSError(28, "No space left on device")

    with pytest.raises(ValueError, match=r"cannot write .*no space left"):
        draw_once(tmp_path / "set", {}, full)
    assert not list(tmp_path.iterdir())
    draw_once(tmp_path / "set", {}, draw)
    assert (tmp_path / "set" / "a.txt").exists()
    with pytest.raises(ValueError, match=r"data\.root: .* holds no generated images"):
        draw_once(tmp_path, {}, draw)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_jobs_that_start_together_draw_one_set(tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: draw_once(tmp_path / "set", {"a": 1}, draw), range(3)))
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    with pytest.raises(ValueError, match=r"was generated with .*delete that folder"):
        draw_once(tmp_path / "set", {"a": 2}, draw)
