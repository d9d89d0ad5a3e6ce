# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import jinja2
import pytest
from libcloudspawner.rendering import render

SPAWNER = Path(__file__).parents[1]
TEMPLATES = SPAWNER.parent / "templates"
UNIT = {"singleuser_slice": "some.slice", "singleuser_environment": "/opt/environments/default"}

RENDER_UNIT = f"""
import sys

sys.path.insert(0, ".")
from libcloudspawner.rendering import render

print(render("jupyterhub-singleuser@.service.j2", **{UNIT}), end="")
"""


def build(target: str, source: Path, folder: Path) -> None:
    words = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    subprocess.run(words, cwd=source, check=True, capture_output=True)


@pytest.fixture(scope="module", params=["repository", "source distribution"])
def site(request, tmp_path_factory) -> Path:
    """A folder with the wheel, and beside it nothing but what rendering needs."""
    folder = tmp_path_factory.mktemp("wheel")
    source = SPAWNER
    if request.param == "source distribution":
        build("sdist", SPAWNER, folder)
        (packed,) = folder.glob("jupyter_libcloudspawner-*.tar.gz")
        with tarfile.open(packed) as archive:
            archive.extractall(folder, filter="data")
        source = folder / packed.name.removesuffix(".tar.gz")
    build("wheel", source, folder)
    (wheel,) = folder.glob("jupyter_libcloudspawner-*.whl")
    site = folder / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    for package in ("jinja2", "markupsafe"):
        (site / package).symlink_to(Path(find_spec(package).origin).parent)
    return site


def test_the_wheel_alone_renders_the_unit(site):
    isolated = [sys.executable, "-I", "-S", "-c", RENDER_UNIT]
    result = subprocess.run(isolated, cwd=site, check=True, capture_output=True, text=True)
    assert result.stdout == render("jupyterhub-singleuser@.service.j2", **UNIT)
    assert "\nSlice=some.slice\n" in result.stdout
    assert "\nExecStart=/opt/environments/default/bin/python -s " in result.stdout


def test_the_wheel_holds_each_shared_template(site):
    shipped = {path.name: path.read_text() for path in (site / "libcloudspawner/templates").iterdir()}
    assert shipped == {path.name: path.read_text() for path in TEMPLATES.iterdir()}


def test_a_value_that_a_template_needs_and_does_not_get_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="singleuser_slice"):
        render("jupyterhub-singleuser@.service.j2", singleuser_environment="/opt")
