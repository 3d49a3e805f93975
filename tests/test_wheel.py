"""The contents of the wheel."""

from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_wheel_has_code_data_and_configs(tmp_path: Path) -> None:
    wheel = pytest.importorskip("hatchling.builders.wheel")
    [built] = wheel.WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with ZipFile(built) as archive:
        files = {name for name in archive.namelist() if ".dist-info/" not in name}
        [points] = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        commands = archive.read(points).decode()
    sources = [path for path in (ROOT / "src").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    expected = {path.relative_to(ROOT / "src").as_posix() for path in sources}
    expected |= {f"fovea/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "configs").rglob("*.yaml")}
    assert files == expected
    assert {"fovea/configs/train.yaml", "hydra_plugins/fovea_optuna.py", "fovea/report/report.html.jinja"} <= files
    scripts = {line.split(" = ")[0].removeprefix("fovea-") for line in commands.splitlines() if " = " in line}
    assert scripts == {path.stem.rstrip("_") for path in (ROOT / "src/fovea/cli").glob("[!_]*.py")}
