"""Splits that do not depend on order, lists that are checked."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fovea.data.splits import carve, carve_fold, check_disjoint, published, read_list, same_files

IDS = [f"case_{index}" for index in range(50)]


def test_a_draw_depends_on_ids_and_seed_and_never_changes() -> None:
    assert carve(IDS, 0.2, 0) == carve(IDS[::-1], 0.2, 0)
    assert carve("abcdefgh", 0.25, 0) == (list("abcdeg"), ["f", "h"])
    assert len({tuple(carve(IDS, 0.2, seed)[1]) for seed in range(5)}) == 5


@pytest.mark.parametrize(
    ("count", "fraction", "carved"),
    [(50, 0.1, 5), (50, 0.0, 0), (48, 0.2, 10), (3, 0.01, 1), (2, 0.99, 1), (1, 0.5, 0), (0, 0.5, 0)],
)
def test_sizes_are_rounded_and_no_side_is_empty(count: int, fraction: float, carved: int) -> None:
    assert [len(part) for part in carve(IDS[:count], fraction, 7)] == [count - carved, carved]
    assert [len(part) for part in carve(IDS[:2], 0.99, 7, kept=False)] == [0, 2]


def test_each_id_and_each_patient_is_carved_out_in_one_fold() -> None:
    folds = [carve_fold(IDS, number, 4, 0) for number in range(4)]
    assert sorted(name for _, carved in folds for name in carved) == sorted(IDS)
    assert all(sorted(kept + carved) == sorted(IDS) for kept, carved in folds)
    assert {len(carved) for _, carved in folds} == {12, 13}
    assert carve_fold(IDS[::-1], 1, 4, 0) == folds[1] != carve_fold(IDS, 1, 4, 1)
    ids = [f"{patient}_{slice}" for patient in "abcdefg" for slice in range(3)]
    carved = [carve_fold(ids, number, 3, 0, lambda name: name[0])[1] for number in range(3)]
    patients = [{name[0] for name in each} for each in carved]
    assert sorted(map(len, patients)) == [2, 2, 3] and set().union(*patients) == set("abcdefg")
    with pytest.raises(ValueError, match=r"data\.fold: 3 patients or images cannot make 5 folds"):
        carve_fold("abc", 0, 5, 0)


def test_a_patient_stays_whole() -> None:
    ids = [f"{patient}_{number}" for patient in "abcdefghij" for number in range(1 + ord(patient) % 4)]
    kept, carved = carve(ids, 0.3, 0, patient=lambda name: name[0])
    assert sorted(kept + carved) == sorted(ids)
    assert len({name[0] for name in carved}) == 3
    assert not {name[0] for name in kept} & {name[0] for name in carved}


@pytest.mark.parametrize(
    ("name", "counts", "patient"),
    [("kvasir", [900, 100], str), ("nci_isbi", [789, 117], lambda name: name.rpartition("_")[0])],
)
def test_published_lists_are_whole_and_share_no_patient(name: str, counts: list[int], patient: Callable) -> None:
    lists = {split: published(f"{name}_{split}") for split in ("train", "test")}
    assert [len(set(ids)) for ids in lists.values()] == counts
    check_disjoint(lists, patient)
    with pytest.raises(ValueError, match=r"^p_1, q_1: patient\(…\) of the data set names no patient; return the id"):
        check_disjoint({"train": ["p_1", "q_1"]}, patient=lambda name: None)  # type: ignore[arg-type,return-value]
    with pytest.raises(ValueError, match="both in train and in test: p;"):
        check_disjoint({"train": ["p_1"], "test": ["q_1", "p_2"]}, patient=lambda name: name[0])


def test_list_forgives_suffixes_comments_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("\ufeff# mine\r\nb.JPG\r\n\r\n  a.1 \nc.png\n#\n## x/b", encoding="utf-8")
    assert read_list(path) == ["b", "a.1", "c"]


ODD = ["#im04", "# im05", "007", "a b", "im.v1", "gr\u00f6\u00dfe", "benign_im00", "malignant_im00", "a:b", "a,b", "=1"]


def test_odd_names_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "test.txt"
    lines = ["#im04", "# im05.png", "007", "a b.PNG", "im.v1", "gro\u0308\u00dfe.png"]
    lines += [r"x\benign\im00.png", "malignant/im00", *ODD[8:], "# x/007", "#im99"]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert read_list(path, ODD) == [*ODD, "#im99"]  # which is missing, and will be reported


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"fine\n..\n", "'..' is not a file name"),
        (b"fine\nx/fine\n", "more than once: fine"),
        (b"a\nb\na.png\n", "listed more than once: a;"),
        (b"\xff\xfe\x00", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_refused_lists(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "train.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"train\.txt: .*{message}"):
        read_list(path, ["fine"] if b"fine" in (content or b"") else None)


def test_equal_files_are_found_across_splits(tmp_path: Path) -> None:
    contents = {"a": b"1" * 9000, "b": b"1" * 9000, "c": b"2" * 9000, "d": b"1" * 9000, "e": b"1" * 8999 + b"2"}
    paths = {name: tmp_path / name for name in contents}
    for name, content in contents.items():
        paths[name].write_bytes(content)
    splits = {"train": [paths["a"], paths["b"], paths["c"]], "test": [paths["d"], paths["e"], tmp_path / "absent"]}
    assert same_files(splits) == [[("train", paths["a"]), ("train", paths["b"]), ("test", paths["d"])]]
    assert same_files({"train": [paths["a"], paths["b"]], "test": [paths["c"], paths["e"]]}) == []
