"""Generated cases of several modalities: the whole method runs on them before real data is at hand."""

from collections.abc import Sequence
from pathlib import Path

from fovea.data.volumes.misalignment import Misalignment
from fovea.data.volumes.pairs import Pairs
from fovea.data.volumes.synthetic import generate


class SyntheticPairs(Pairs):
    """`Pairs` that draw themselves into `root` when they are first used; see `fovea.data.volumes.synthetic.generate`.

    Args:
        root: The folder to draw into, or one drawn before with the same numbers.
        drawn: Names of one to three modalities, each with a contrast of its own.
        labeled: Cases under `training`.
        unlabeled: Under `unlabeled_training`, without masks.
        validation: Of that name.
        testing: Of that name.
        shape: Voxels of a volume of the first modality.
        voxel: Sides of a voxel of it, in mm.
        shift: How far the other modalities lie elsewhere at most, in mm; they are turned in proportion.
        seed: Of the drawing.
        list: As for `Pairs`.
        modalities: As for `Pairs`, of those that are drawn.
        classes: As for `Pairs`; there are 4.
        labeled_fraction: As for `Pairs`.
        split_seed: As for `Pairs`.
        misalignment: As for `Pairs`; it comes on top of `shift`.

    Raises:
        ValueError: `root` holds something else, or cannot be written; see also `Pairs`.
    """

    def __init__(
        self,
        root: str | Path,
        drawn: Sequence[str],
        labeled: int,
        unlabeled: int,
        validation: int,
        testing: int,
        shape: Sequence[int],
        voxel: Sequence[float],
        shift: float,
        seed: int,
        list: str,
        modalities: Sequence[str],
        classes: int,
        labeled_fraction: float | None = None,
        split_seed: int = 0,
        misalignment: Misalignment | None = None,
    ) -> None:
        generate(
            Path(root).expanduser(),
            modalities=drawn,
            labeled=labeled,
            unlabeled=unlabeled,
            validation=validation,
            testing=testing,
            shape=shape,
            voxel=voxel,
            shift=shift,
            seed=seed,
        )
        super().__init__(root, list, modalities, classes, labeled_fraction, split_seed, misalignment)
