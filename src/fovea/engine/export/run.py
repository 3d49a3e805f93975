"""Segment images with model.onnx: `python run.py IMAGE [IMAGE …]` writes <image>_mask.png beside each."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

STORED = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # EXIF orientation to the turn of Pillow that undoes it


def pixels_of(path: Path, data: dict) -> np.ndarray:
    """Return an image, uint8 [H, W, C], as the model was trained: gray or RGB, stored or turned by its EXIF."""
    with path.open("rb") as stream, Image.open(stream) as file:  # by its path, a turned gray TIFF would be mixed up
        if any(deep in str([file.mode, *file.tile]) for deep in (";16", "'I'", "'F'")):
            raise ValueError("more than 8 bits per channel; scale it to 8 bits as model_card.md says")
        if isinstance(file, TiffImageFile) and (file.n_frames > 1 or 2 in file.tag_v2.get(339, ())):
            raise ValueError("several pages, or values with a sign; save one image of 8 bits without a sign")
        turn = file.getexif().get(274, 1) if file.format == "TIFF" and data.get("exif") != "apply" else 1
        image = ImageOps.exif_transpose(file) if data.get("exif") == "apply" else file.copy()
    image = image.transpose(Image.Transpose(STORED[turn])) if turn in STORED else image  # Pillow turns TIFFs by itself
    pixels = np.array(image.convert("L" if data["channels"] == 1 else "RGB"))
    return pixels.reshape(*pixels.shape[:2], data["channels"])


if __name__ == "__main__":
    session = onnxruntime.InferenceSession(Path(__file__).with_name("model.onnx"))
    data = json.loads(session.get_modelmeta().custom_metadata_map["fovea"])["data"]
    if data.get("largest_component"):
        note = "run.py keeps all components; the scores are of masks with the largest component of each class"
        print(note, file=sys.stderr)
    failed = False
    for path in map(Path, sys.argv[1:]):
        target = path.with_name(f"{path.stem}_mask.png")
        try:
            if target.exists():
                raise ValueError(f"{target.name} is there already; move it")
            [probability] = session.run(None, {"image": pixels_of(path, data)})
        except Exception as error:  # damaged files raise various ones
            print(f"{path}: {error}", file=sys.stderr)
            failed = True
            continue
        mask = (probability[0] > 0.5) * 255 if len(probability) == 1 else probability.argmax(axis=0)
        Image.fromarray(mask.astype(np.uint8)).save(target)
    sys.exit(failed)
