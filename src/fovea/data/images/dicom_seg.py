"""Masks as DICOM segmentations, which viewers show on the images that they are of."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from fovea import __version__
from fovea.pictures.overlay import color_of

# A segmentation repeats these from its images. DICOM lets them be empty, and anonymized images often lack them.
_MAY_BE_EMPTY = (
    *("AccessionNumber", "PatientBirthDate", "PatientID", "PatientName", "PatientSex"),
    *("ReferringPhysicianName", "StudyDate", "StudyID", "StudyTime"),
)


def check_installed() -> None:
    """Refuse to go on without the library that writes segmentations."""
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise ValueError("dicom_seg=true needs the package highdicom; install it with `make dicom`") from error
    logging.getLogger("highdicom").setLevel(logging.ERROR)  # it logs every module that it copies, and empty masks
    warnings.filterwarnings("ignore", module=r"highdicom\.")  # names of anonymized patients have no family name


def segmentation_of(labels: np.ndarray, slices: Sequence[Path], names: Sequence[str]) -> Dataset:
    """Return labels, uint8 [D, H, W], of DICOM files as a segmentation with one segment for each class, from 1 on.

    A ValueError if the headers lack what a segmentation must repeat.
    """
    import highdicom as hd
    from pydicom.sr.codedict import codes

    algorithm = hd.AlgorithmIdentificationSequence("fovea", codes.cid7162.ArtificialIntelligence, __version__)
    segments = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=name[:64],  # as long as DICOM allows
            segmented_property_category=codes.SCT.Tissue,  # what the classes are is not known
            segmented_property_type=codes.SCT.Tissue,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            display_color=hd.color.CIELabColor.from_rgb(*color_of(number)),
        )
        for number, name in enumerate(names, start=1)
    ]
    try:
        return hd.seg.Segmentation(
            source_images=[_header(each) for each in slices],
            pixel_array=labels,
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=segments,
            series_instance_uid=hd.UID(),
            series_number=1,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer="fovea",
            manufacturer_model_name="fovea-predict",
            software_versions=__version__,
            device_serial_number="none",
            series_description="fovea",
        )
    except Exception as error:  # highdicom raises various errors on incomplete headers
        reason = f"no {error.name}" if isinstance(error, AttributeError) else shorten(str(error), 200)
        raise ValueError(f"{slices[0]}: cannot be written as DICOM SEG ({reason}); leave out dicom_seg") from error


def _header(path: Path) -> Dataset:
    header = pydicom.dcmread(path, stop_before_pixels=True)
    header.decode()
    header.SpecificCharacterSet = "ISO_IR 192"  # UTF-8: the patient and the classes may have names in two scripts
    for name in _MAY_BE_EMPTY:
        if name not in header:
            setattr(header, name, "")
    return header
