"""One rule for the ID that a name means: no two files are merged, and none is lost."""

from unicodedata import normalize

import pytest

from fovea.data.names import Names, file_name, plain_id

NFC, NFD = normalize("NFC", "größe"), normalize("NFD", "größe")


@pytest.mark.parametrize(
    ("recorded", "image_id"),
    [
        ("a.png", "a"),
        ("A.JPEG", "A"),
        ("scan.1.dcm", "scan.1"),
        ("c.7", "c.7"),
        ("v.nii.gz", "v"),
        ("#im04.png", "#im04"),
        ("007.png", "007"),
        ("a b  c.png", "a b  c"),
        (r"C:\stimuli\a.png", "a"),
        ("benign/im00.png", "im00"),
        ("'a b.png'", "a b"),
        ("somebody's", "somebody's"),
        (f"{NFD}.png", NFC),
        ("a:b.png", "a:b"),
        (".png", ".png"),
        ("..", ""),
        ("", ""),
    ],
)
def test_plain_id(recorded: str, image_id: str) -> None:
    assert plain_id(recorded) == image_id


@pytest.mark.parametrize(
    ("recorded", "name"),
    [
        (r"C:\stimuli\a.png", "a.png"),
        ("'x/a b.PNG'", "a b.PNG"),
        (f"x/{NFD}.png", f"{NFC}.png"),
        ("x/", "x"),
        ("x/..", ""),
        ("a\0b.png", "ab.png"),
    ],
)
def test_file_name(recorded: str, name: str) -> None:
    assert file_name(recorded) == name


@pytest.mark.parametrize(
    ("ids", "recorded", "image_id"),
    [
        (["1-05", "1-15"], "1-05.jpg", "1-05"),
        (["c.7"], "c.7", "c.7"),
        (["c.7"], "c.7.png", "c.7"),
        (["im.png"], "im.png", "im.png"),  # images/im.png.png
        (["c"], "c.7", "c"),
        (["007", "7"], "7.png", "7"),
        (["007"], "7.png", None),
        ([NFC], f"{NFD}.png", NFC),
        ([NFD], NFC, NFD),
        (["im04"], "IM04.PNG", "im04"),
        (["Im04", "im04"], "im04.png", "im04"),
        (["Im04", "im04"], "IM04.png", None),
        (["im00", "benign_im00"], r"data\benign\im00.png", "benign_im00"),
        (["im00", "malignant_im00"], "benign/im00.png", "im00"),
        (["P1_05"], "NCI/P1/05.dcm", "P1_05"),
        (["a"], "../../a.png", "a"),
        (["a b"], "stimuli/a b.png", "a b"),
        (["b"], "a b.png", None),
        ([" a"], " a", " a"),
        ([" a"], "a.png", " a"),  # tables are read without spaces around a cell
        (["a"], "", None),
        (["x"], "..", None),
    ],
)
def test_a_name_means_an_image(ids: list[str], recorded: str, image_id: str | None) -> None:
    assert Names(ids, "t.csv")(recorded) == image_id


@pytest.mark.parametrize("ids", [["im00", "c"], None])
@pytest.mark.parametrize(
    ("one", "other"), [("benign/im00.png", r"malignant\im00.png"), ("im00.png", "im00.jpg"), ("a/b/im00", "x/y/im00")]
)
def test_two_files_are_not_merged(ids: list[str] | None, one: str, other: str) -> None:
    names = Names(ids, "t.csv")
    assert names("im00") == names(one) == "im00"
    with pytest.raises(ValueError, match=r"t\.csv: .* and .* would both be the image im00; .*<folder>_<file>"):
        names(other)


def test_one_file_may_be_spelled_in_several_ways_and_others_are_kept_apart() -> None:
    names = Names(["im00", NFC], "t.csv")
    spelled = ["im00", "im00.PNG", r"D:\Stimuli\IM00.png", "stimuli/im00.png", '"im00.png"']
    assert {names(name) for name in spelled} == {"im00"}
    assert {names(name) for name in (NFC, NFD, f"{NFD}.png")} == {NFC}
    names = Names(["benign_im00", "malignant_im00"], "t.csv")
    assert [names(f"{folder}/im00.png") for folder in ("benign", "malignant")] == ["benign_im00", "malignant_im00"]
    names = Names(["c"], "t.csv")
    assert names("c.1") == "c"
    with pytest.raises(ValueError, match=r"'c\.1' and 'c\.2' would both"):
        names("c.2")
    assert Names([f"im{n:03}" for n in range(101)], "t").nearest(["img007.png"]) == ", the nearest are im007"
