"""NCI-ISBI: slices as the published code sees them, and no patient in two splits."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, JPEGLSLossless

from fovea.data.images.dicom import read_slice
from fovea.data.images.nci_isbi import NciIsbi
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
    """A data set of the published lists, with one other image."""
    (root / "images").mkdir()
    (root / "images" / "other_1.dcm").touch()
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


def test_val_is_drawn_by_patient_and_no_patient_is_in_two_lists(tmp_path: Path) -> None:
    data, train = listed(tmp_path), published("nci_isbi_train")
    splits = data.splits()
    patients = {split: {data.patient(name) for name in ids} for split, ids in splits.items()}
    assert [len(each) for each in patients.values()] == [53, 6, 10]
    assert not patients["train"] & patients["val"]
    assert sorted(splits["train"] + splits["val"]) == sorted(train)
    (tmp_path / "val.txt").write_text(train[0])
    (tmp_path / "train.txt").write_text("\n".join(train[1:]))
    with pytest.raises(ValueError, match=f"both in train and in val: {data.patient(train[0])};"):
        data.splits()


def test_patients_of_other_slices_are_those_of_the_table(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a_1", "b_1"):
        (tmp_path / "images" / f"{name}.dcm").touch()
    assert NciIsbi(tmp_path, channels=1).patient("b_1") == "b"
    (tmp_path / "patients.csv").write_text("IMAGE,patient\na_1.dcm,p\nb_1.dcm,p\n")
    assert NciIsbi(tmp_path, channels=1).patient("b_1") == "p"


def test_slices_are_min_max_scaled(root: Path) -> None:
    data = NciIsbi(root, channels=1)
    for name in data.ids[::7]:
        image = data.image(name)
        assert image.shape == (*data.size(name), 1) == (160, 160, 1)
        assert (image.dtype, image.min(), image.max()) == (np.uint8, 0, 255)
        assert data.mask(name).shape == (160, 160)
        assert data.spacing(name) == (1.2, 1.2)
    np.testing.assert_array_equal(NciIsbi(root, channels=3).image(name), np.repeat(image, 3, axis=2))


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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"cannot read .*x\.dcm: no such file"),
        (b"no DICOM", r"cannot decode .*x\.dcm: not DICOM, or its start is damaged; replace the file"),
        ("empty", r"cannot decode .*x\.dcm: no pixels; replace the file"),
        ("half", r"cannot decode .*x\.dcm: .*; replace the file"),
        ("twice", r"x\.dcm: 2 frames; save each as its own gray DICOM file"),
    ],
)
def test_a_damaged_slice_is_named(root: Path, tmp_path: Path, content: bytes | str | None, message: str) -> None:
    path, whole = tmp_path / "x.dcm", root / "images" / "Prostate3T-01-0001_5.dcm"
    if content in ("twice", "empty"):
        frames = pydicom.dcmread(whole)
        frames.NumberOfFrames, frames.PixelData = 2, frames.PixelData * (2 if content == "twice" else 0)
        frames.save_as(path)
    elif content is not None:
        path.write_bytes(content if isinstance(content, bytes) else whole.read_bytes()[:9000])
    with pytest.raises(ValueError, match=message):
        read_slice(path)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_padding_is_found_in_any_byte_order(tmp_path: Path, syntax: UID) -> None:
    image = pydicom.Dataset()
    image.file_meta, image.PixelPaddingValue = pydicom.dataset.FileMetaDataset(), 1000
    image.file_meta.TransferSyntaxUID = syntax
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = pydicom.uid.MRImageStorage
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = "1.2.3"
    image.Rows, image.Columns, image.SamplesPerPixel, image.PhotometricInterpretation = 1, 4, 1, "MONOCHROME2"
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit, image.PixelRepresentation = 15, 0
    stored = np.array([0, 1000, 50, 100], "<u2" if syntax.is_little_endian else ">u2")
    image.add_new("PixelData", "OW", stored.tobytes())
    image.save_as(tmp_path / "x.dcm", enforce_file_format=True)
    assert read_slice(tmp_path / "x.dcm").tolist() == [[0, 0, 127, 255]]


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


def functional_groups(slope: str, intercept: str) -> list[pydicom.Dataset]:
    """Return a functional group with a rescaling, as enhanced images have it."""
    group, rescaling = pydicom.Dataset(), pydicom.Dataset()
    rescaling.RescaleSlope, rescaling.RescaleIntercept = slope, intercept
    group.PixelValueTransformationSequence = [rescaling]
    return [group]


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
            (-1, 4095, {"RescaleSlope": "-2", "RescaleIntercept": ""}),
            (-1, 4095, {"SharedFunctionalGroupsSequence": functional_groups("-2", "9")}),
            (-1, 4095, {"PerFrameFunctionalGroupsSequence": functional_groups("-2", "9")}),
            (1, 0, {"RescaleSlope": "", "RescaleIntercept": ""}),
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

    @pytest.mark.parametrize("inverse", [False, True])
    def test_a_window_is_in_values_after_rescaling(self, path: Path, tmp_path: Path, inverse: bool) -> None:
        stored = pydicom.dcmread(path).pixel_array
        tags = {"RescaleSlope": "2", "RescaleIntercept": "-100"}
        tags |= {"PhotometricInterpretation": "MONOCHROME1"} if inverse else {}
        window = np.clip((stored * 2.0 - 100) / 400, 0, 1)
        shown = read_slice(rewritten(path, tmp_path / "x.dcm", stored, **tags), (0, 400))
        np.testing.assert_allclose(shown, 255 * (1 - window if inverse else window), atol=1)
        broken = rewritten(path, tmp_path / "x.dcm", stored, RescaleSlope="nan", RescaleIntercept="0")
        with pytest.raises(ValueError, match=r"x\.dcm: RescaleSlope or RescaleIntercept is not a number"):
            read_slice(broken)
        shifted = rewritten(path, tmp_path / "x.dcm", stored, RescaleIntercept="-100")
        np.testing.assert_allclose(read_slice(shifted, (0, 400)), 255 * np.clip((stored - 100.0) / 400, 0, 1), atol=1)
        with pytest.raises(ValueError, match=r"x\.dcm: HighBit is 15, but 12 bits are stored"):
            read_slice(rewritten(path, tmp_path / "x.dcm", stored << 4, BitsStored=12))

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
        monkeypatch.setattr(decoder, "_unavailable", {"gdcm": ("gdcm>=3.0.10",), "pyjpegls": ("pyjpegls",)})
        dataset = pydicom.dcmread(path)
        dataset.PixelData = pydicom.encaps.encapsulate([bytes(8)])
        dataset.file_meta.TransferSyntaxUID = JPEGLSLossless
        dataset["PixelData"].is_undefined_length = True
        dataset.save_as(tmp_path / "x.dcm")
        with pytest.raises(ValueError, match=r"x\.dcm: no installed .* JPEG-LS.*install python-gdcm>=.* or pyjpegls"):
            read_slice(tmp_path / "x.dcm")
