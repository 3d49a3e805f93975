"""NCI-ISBI: slices as the published code sees them, and no patient in two splits."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEGLSLossless

from fovea.data.images.nci_isbi import NciIsbi, read_slice
from fovea.data.splits import published
from fovea.importers.nci_isbi import NciIsbiRaw
from fovea.importers.request import ImportRequest


@pytest.fixture(scope="module")
def root(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small download of real slices, imported."""
    out = tmp_path_factory.mktemp("nci_isbi") / "root"
    NciIsbiRaw()(ImportRequest(real_data / "NCI-ISBI-2013" / "raw", out))
    return out


def listed(root: Path) -> NciIsbi:
    """A data set of the published lists, without an image."""
    for split in ("train", "test"):
        (root / f"{split}.txt").write_text("\n".join(published(f"nci_isbi_{split}")))
    return NciIsbi(root, channels=1)


def header(spacing: bytes | None) -> bytes:
    """A DICOM file of 4 x 5 pixels without the pixels; the value of its PixelSpacing is written as it is given."""
    syntax = b"\x02\0\x10\0UI\x14\x001.2.840.10008.1.2.1\0"  # explicit VR, little endian
    rows, columns = b"\x28\0\x10\0US\2\0\4\0", b"\x28\0\x11\0US\2\0\5\0"
    between = b"" if spacing is None else b"\x28\0\x30\0DS" + len(spacing).to_bytes(2, "little") + spacing
    length = b"\x02\0\0\0UL\4\0" + len(syntax).to_bytes(4, "little")
    return bytes(128) + b"DICM" + length + syntax + rows + columns + between


def test_validation_is_carved_by_patient(tmp_path: Path) -> None:
    data = listed(tmp_path)
    splits = data.splits()
    patients = {split: {data.patient(name) for name in ids} for split, ids in splits.items()}
    assert [len(each) for each in patients.values()] == [53, 6, 10]
    assert not patients["train"] & patients["val"]
    assert sorted(splits["train"] + splits["val"]) == sorted(published("nci_isbi_train"))


def test_a_patient_in_two_lists_is_refused(tmp_path: Path) -> None:
    data = listed(tmp_path)
    moved = published("nci_isbi_train")[0]
    (tmp_path / "val.txt").write_text(moved)
    (tmp_path / "train.txt").write_text("\n".join(published("nci_isbi_train")[1:]))
    with pytest.raises(ValueError, match=f"both in train and in val: {data.patient(moved)};"):
        data.splits()


def test_slices_are_min_max_scaled(root: Path) -> None:
    data = NciIsbi(root, channels=1)
    for name in data.ids[::7]:
        image = data.image(name)
        assert image.shape == (*data.size(name), 1) == (160, 160, 1)
        assert (image.dtype, image.min(), image.max()) == (np.uint8, 0, 255)
        assert data.mask(name).shape == (160, 160)


def test_pixels_have_the_size_of_the_header(root: Path) -> None:
    assert NciIsbi(root, channels=1).spacing("Prostate3T-01-0001_5") == (1.2, 1.2)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (b"0.5\\0.625", (0.5, 0.625)),  # the height of a pixel comes first
        (b"", None),
        (b"0.5 ", None),
        (b"0\\0.5 ", None),
        (b"-1\\0.5", None),
        (b"nan\\1 ", None),
        (b"wide\\1", None),
        (None, None),
    ],
)
def test_an_invalid_spacing_is_none(tmp_path: Path, written: bytes | None, expected: object) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "p_1.dcm").write_bytes(header(written))
    assert NciIsbi(tmp_path, channels=1).spacing("p_1") == expected


def test_other_slices_are_decoded_the_same(root: Path, tmp_path: Path) -> None:
    data = NciIsbi(root, channels=1)
    elsewhere = tmp_path / "unseen.dcm"
    elsewhere.write_bytes(data.image_path(data.ids[0]).read_bytes())
    np.testing.assert_array_equal(NciIsbi.decode(elsewhere, 1), data.image(data.ids[0]))


def test_gray_is_repeated_for_three_channels(root: Path) -> None:
    image = NciIsbi(root, channels=3).image("Prostate3T-01-0001_5")
    assert image.shape == (160, 160, 3)
    assert np.ptp(image, axis=2).max() == 0


@pytest.mark.parametrize("content", [None, b"", b"no DICOM"])
def test_a_damaged_slice_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.dcm"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.dcm"):
        read_slice(path)


def test_a_slice_cut_short_is_named(root: Path, tmp_path: Path) -> None:
    whole = (root / "images" / "Prostate3T-01-0001_5.dcm").read_bytes()
    (tmp_path / "x.dcm").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cannot decode .*x\.dcm"):
        read_slice(tmp_path / "x.dcm")


def rewritten(path: Path, out: Path, pixels: np.ndarray, **tags: object) -> Path:
    """Write a slice again with other stored values and tags."""
    dataset = pydicom.dcmread(path)
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelData = pixels.tobytes()
    for name, value in tags.items():
        if isinstance(value, int):
            dataset.add_new(name, "SS" if value < 0 else "US", value)
        else:
            setattr(dataset, name, value)
    dataset.save_as(out)
    return out


class TestPresentation:
    @pytest.fixture
    def path(self, root: Path) -> Path:
        return root / "images" / "Prostate3T-01-0001_5.dcm"

    @pytest.mark.parametrize(
        ("sign", "offset", "tags"),
        [
            (-1, 4095, {"PhotometricInterpretation": "MONOCHROME1"}),
            (-1, 4095, {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}),
            (-1, 4095, {"RescaleSlope": "-1", "RescaleIntercept": "4095"}),
            (-1, 4095, {"RescaleSlope": "-2"}),
            (1, 0, {"RescaleSlope": "-1", "RescaleIntercept": "0", "PhotometricInterpretation": "MONOCHROME1"}),
            (1, 0, {"WindowCenter": "40", "WindowWidth": "10"}),
            (1, 0, {"PixelPaddingValue": 60000}),
        ],
    )
    def test_a_slice_equals_its_plain_version(
        self, path: Path, tmp_path: Path, sign: int, offset: int, tags: dict[str, object]
    ) -> None:
        stored = pydicom.dcmread(path).pixel_array.astype(np.int64)
        other = rewritten(path, tmp_path / "x.dcm", (sign * stored + offset).astype(np.uint16), **tags)
        np.testing.assert_array_equal(read_slice(other), read_slice(path))

    @pytest.mark.parametrize(
        ("dtype", "value", "limit"),
        [(np.uint16, 60000, None), (np.int16, -2000, None), (np.int16, -2000, -1900), (np.int16, -2000, -2100)],
    )
    @pytest.mark.parametrize("inverse", [False, True])
    def test_padding_is_black_and_not_scaled(
        self, path: Path, tmp_path: Path, dtype: type, value: int, limit: int | None, inverse: bool
    ) -> None:
        stored = pydicom.dcmread(path).pixel_array.astype(np.int64)
        plain = read_slice(rewritten(path, tmp_path / "plain.dcm", stored.astype(np.uint16)))
        corner = np.zeros(stored.shape, bool)
        corner[:5, :5] = True
        low, high = stored[~corner].min(), stored[~corner].max()
        assert (low, high) == (stored.min(), stored.max())
        values = np.where(corner, value, 4095 - stored if inverse else stored).astype(dtype)
        tags = {"PixelPaddingValue": value} | ({} if limit is None else {"PixelPaddingRangeLimit": limit})
        tags |= {"PhotometricInterpretation": "MONOCHROME1"} if inverse else {}
        padded = read_slice(rewritten(path, tmp_path / "x.dcm", values, **tags))
        np.testing.assert_array_equal(padded, np.where(corner, 0, plain))

    def test_a_missing_decoder_names_its_package(
        self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        decoder = pydicom.pixels.get_decoder(JPEGLSLossless)
        monkeypatch.setattr(decoder, "_available", {})
        dataset = pydicom.dcmread(path)
        dataset.PixelData = pydicom.encaps.encapsulate([bytes(8)])
        dataset.file_meta.TransferSyntaxUID = JPEGLSLossless
        dataset["PixelData"].is_undefined_length = True
        dataset.save_as(tmp_path / "x.dcm")
        with pytest.raises(ValueError, match=r"x\.dcm: no installed package reads JPEG-LS.*install pylibjpeg"):
            read_slice(tmp_path / "x.dcm")
