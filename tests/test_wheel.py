"""What `pip install fovea` brings along."""

from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_wheel_has_the_code_its_data_and_the_configurations(tmp_path: Path) -> None:
    wheel = pytest.importorskip("hatchling.builders.wheel")
    [built] = wheel.WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with ZipFile(built) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
        [points] = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        commands = archive.read(points).decode()
    there = {"src": ROOT / "src", "configs": ROOT}
    files = {name: [path for path in (ROOT / name).rglob("*") if path.is_file()] for name in there}
    expected = {path.relative_to(there["src"]) for path in files["src"] if "__pycache__" not in path.parts}
    expected |= {Path("fovea") / path.relative_to(ROOT) for path in files["configs"]}
    assert inside == {path.as_posix() for path in expected}
    assert {"fovea/configs/train.yaml", "hydra_plugins/fovea_optuna.py", "fovea/report/report.html.jinja"} <= inside
    scripts = [line.split(" = ")[0] for line in commands.splitlines() if " = " in line]
    assert sorted(path.stem for path in (ROOT / "src/fovea/cli").glob("[!_]*.py")) == sorted(
        name.removeprefix("fovea-").replace("import", "import_") for name in scripts
    )
