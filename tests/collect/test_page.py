"""The page of `fovea-collect` as a file; tests/integration/test_collect.py opens it in a browser."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fovea.collect.page import shown_image, write_page
from fovea.data.images.folder import Folder
from fovea.data.images.nci_isbi import NciIsbi

from ..data.images.test_inputs import write_slice

HOSTILE = "</script><img src=x onerror=alert(1)>'\"&"
OPTIONS: dict[str, Any] = {
    **{"mode": "click", "structure": "lesion", "size": 800, "radius": 70.0, "blur": 14.0, "brush": 9.0},
    **{"interval": 33.0, "embed": True, "practice": True, "split": None, "count": None, "seed": 0},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder of images that a browser shows as they are (a, b), and others (c to g)."""
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    folder = tmp_path / "set" / "images"
    folder.mkdir(parents=True)
    image = Image.fromarray(pixels)
    for name in ("a.png", "b.JPG", "c.tif", "d.bmp"):
        image.save(folder / name)
    turn = Image.Exif()
    turn[0x0112] = 6
    image.save(folder / "e.jpg", exif=turn)
    image.save(folder / "g.jpg", format="TIFF")
    image.putalpha(0)
    image.save(folder / "f.png")
    return tmp_path / "set"


def study(root: Path, out: Path, **options: Any) -> dict[str, Any]:
    """Write a page and return what its script reads."""
    data = {key: options.pop(key) for key in ("range",) if key in options}
    write_page(Folder(root, **data), out, ["data=folder", f"data.root={root}"], **{**OPTIONS, **options})
    text = (out / "collect.html").read_text(encoding="utf-8")
    content = re.search(r'<script type="application/json" id="study">(.*?)</script>', text, re.S)
    assert content is not None
    return json.loads(content.group(1))


def test_images_are_what_the_network_sees(root: Path, tmp_path: Path) -> None:
    found = {each["name"]: each["src"] for each in study(root, tmp_path / "out")["images"]}
    assert sorted(found) == ["a.png", "b.JPG", "c.tif", "d.bmp", "e.jpg", "f.png", "g.jpg"]
    for name, source in found.items():
        head, _, data = source.partition(",")
        content = base64.b64decode(data)
        if name in ("a.png", "b.JPG"):
            assert content == (root / "images" / name).read_bytes()
        else:
            assert head == "data:image/png;base64"
        pixels = np.asarray(Image.open(io.BytesIO(content)))
        np.testing.assert_array_equal(pixels, Folder(root).image(Path(name).stem))


def test_slices_of_dicom_are_shown_as_the_network_sees_them(tmp_path: Path) -> None:
    write_slice(tmp_path / "images" / "p_1.dcm", np.arange(40).reshape(5, 8) * 90)
    dataset = NciIsbi(tmp_path)
    shown = shown_image(dataset, "p_1")
    assert (shown.suffix, shown.size) == (".png", (5, 8))
    np.testing.assert_array_equal(Image.open(io.BytesIO(shown.data)), dataset.image("p_1"))


def test_the_order_depends_on_the_seed_alone(root: Path, tmp_path: Path) -> None:
    def order(out: str, **options: Any) -> list[str]:
        return [each["name"] for each in study(root, tmp_path / out, **options)["images"]]

    assert order("a") == order("b", mode="box") and order("c", count=3) == order("a")[:3]
    assert len({tuple(order("d", seed=seed)) for seed in range(4)}) > 1
    assert study(root, tmp_path / "a")["key"] == study(root, tmp_path / "b")["key"]
    assert study(root, tmp_path / "a")["key"] != study(root, tmp_path / "b", seed=1)["key"]


def test_images_beside_the_page_have_neutral_names(root: Path, tmp_path: Path) -> None:
    images = study(root, tmp_path / "out", embed=False)["images"]
    files = [tmp_path / "out" / each["src"] for each in images]
    assert all(re.fullmatch(r"images/[0-9a-f]{16}\.(png|jpeg)", each["src"]) for each in images)
    # A later call, even one that is killed before its page, changes no image of this page.
    before = [path.read_bytes() for path in files]
    (tmp_path / "out" / "collect.html").unlink()
    study(root, tmp_path / "out", embed=False, seed=1, count=3)
    assert [path.read_bytes() for path in files] == before


@pytest.mark.parametrize("later", [{"embed": False, "count": 3}, {}], ids=["smaller", "embedded"])
def test_images_of_an_earlier_page_are_removed(root: Path, tmp_path: Path, later: dict[str, Any]) -> None:
    study(root, tmp_path / "out", embed=False)
    (tmp_path / "out" / "images" / f"{16 * 'a'}.png").touch()  # of somebody else
    named = {each["src"] for each in study(root, tmp_path / "out", **later)["images"] if not later.get("embed", True)}
    there = {f"images/{path.name}" for path in (tmp_path / "out" / "images").iterdir()}
    assert there == named | {f"images/{16 * 'a'}.png"}


def test_the_page_needs_no_network_and_escapes_all_text(root: Path, tmp_path: Path) -> None:
    (root / "images" / "a.png").rename(root / "images" / "<img src=x onerror=alert(1)>'\".png")
    content = study(root, tmp_path / "out", structure=HOSTILE)
    text = (tmp_path / "out" / "collect.html").read_text(encoding="utf-8")
    assert content["structure"] == HOSTILE and "<img src=x" not in text and text.count("</script>") == 2
    assert re.findall(r"https?://\S+", text) == ['http://www.w3.org/2000/svg",']  # the name of SVG, not fetched
    assert re.findall(r"<(?:img|script|link|a)\b[^>]*(?:src|href)=", text) == []


def test_what_cannot_be_shown_is_refused(root: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 900, np.uint16)).save(root / "images" / "deep.png")
    count, failures = write_page(Folder(root), tmp_path / "out", [], **OPTIONS)
    assert count == 7 and "set data.range=" in failures["deep"]
    assert len(study(root, tmp_path / "out", range=[0, 1000])["images"]) == 8
    with pytest.raises(ValueError, match=r"out: .* has other files"):
        study(root, root)
    for path in (root / "images").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"no image to show; cannot decode .*: not an image"):
        study(root, tmp_path / "out")
