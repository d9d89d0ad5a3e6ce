# SPDX-License-Identifier: GPL-3.0-or-later
"""What an environment is built by; with small packages of our own, and none of an index."""

from __future__ import annotations

import fcntl
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from programs import load_program
from wheels import write_wheel

FILES = Path(__file__).parents[3] / "roles/environment/files"
PYTHON = "/usr/bin/python3"
UV = Path(sys.prefix) / "bin/uv"
# Of a project that is built by a module of its own.
BACKEND = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


sys.path.insert(0, str(FILES))


builder = load_program(FILES / "build-environment")
pruner = load_program(FILES / "prune-environments")


@pytest.fixture(autouse=True)
def index(tmp_path, monkeypatch):
    """A folder of packages, which uv takes them from."""
    folder = tmp_path / "index"
    folder.mkdir()
    for version in ("1.0", "2.0"):
        write_wheel(folder, "server", version, ["basics"])
        write_wheel(folder, "basics", version)
    write_wheel(folder, "extra", "1.5")
    for name, value in (("UV_FIND_LINKS", folder), ("UV_NO_INDEX", "1"), ("UV_CACHE_DIR", tmp_path / "cache")):
        monkeypatch.setenv(name, str(value))
    return folder


@pytest.fixture
def root(tmp_path):
    return tmp_path / "environments"


@pytest.fixture
def repository(tmp_path):
    """Make a repository of files."""

    def make(**files):
        folder = tmp_path / "repository"
        for name, text in files.items():
            path = folder / name.replace("__", "/").replace("_txt", ".txt").replace("_toml", ".toml")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return str(folder)

    return make


@pytest.fixture
def build(root):
    def build(name="course-1", **order):
        given = {
            "name": name.partition("-")[0],
            "python": PYTHON,
            "pinned": ["basics==1.0\n"],
            "basis": ["server==2.0\n"],
        }
        return subprocess.run(
            [sys.executable, FILES / "build-environment"],
            input=json.dumps({"path": str(root / name), **given, **order}),
            capture_output=True,
            text=True,
            check=False,
        )

    return build


def version(environment, package):
    script = f"import {package}; print({package}.__version__)"
    return subprocess.check_output([environment / "bin/python", "-c", script], text=True).strip()


def test_packages_have_the_pinned_version_wherever_the_repository_asks_for_no_other(build, root, repository):
    done = build(repository=repository(requirements_txt="extra\n"))
    assert done.returncode == 0, done.stderr
    assert [version(root / "course-1", name) for name in ("server", "basics", "extra")] == ["2.0", "1.0", "1.5"]
    assert json.loads(done.stdout) == {"pins": ["extra==1.5"]}


def test_the_repository_may_ask_for_another_version_than_the_pinned_one(build, root, repository):
    assert build(repository=repository(requirements_txt="basics==2.0\n")).returncode == 0
    assert version(root / "course-1", "basics") == "2.0"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"requirements_txt": "server==1.0\n"}, "server==2.0"),
        ({"requirements_txt": "nothere\n"}, "nothere was not found"),
        ({"postBuild": "#!/bin/sh\necho this went wrong >&2\nexit 3\n"}, "postBuild failed: this went wrong"),
        ({"runtime_txt": "python-3.4"}, "asks for Python 3.4, and this host has Python 3."),
        ({"runtime_txt": "r-4.3-2024-01-01"}, "r-cran-irkernel into apt.txt"),
        (
            {"postBuild": f"#!/bin/sh\n{UV} pip install -q --python $VIRTUAL_ENV server==1.0"},
            "server 1.0, and the servers of this hub need 2.0",
        ),
    ],
)
def test_what_cannot_be_built_is_named_and_leaves_nothing(build, root, repository, files, words):
    done = build(repository=repository(**files))
    assert done.returncode == 1
    assert words in done.stderr
    assert not (root / "course-1").exists()


def test_a_release_without_a_wheel_that_cannot_be_built_is_told_what_helps(build, root, repository, index):
    files = {
        "PKG-INFO": "Metadata-Version: 2.1\nName: old\nVersion: 1.0\n",
        "pyproject.toml": BACKEND,
        "backend.py": "def build_wheel(*_):\n    raise SystemExit('no compiler')\n",
    }
    with tarfile.open(index / "old-1.0.tar.gz", "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"old-1.0/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    done = build(repository=repository(requirements_txt="old==1.0\n"))
    assert done.returncode != 0
    assert "no compiler" in done.stderr
    assert "what the build takes into apt.txt" in done.stderr


def test_a_repository_that_is_a_package_and_cannot_be_built_is_not_taken_for_a_release(build, root, repository):
    project = '[project]\nname = "lessons"\nversion = "0.1"\n'
    code = "def build_wheel(*_):\n    raise SystemExit('my mistake')\n"
    done = build(repository=repository(pyproject_toml=project + BACKEND, **{"backend.py": code}))
    assert "my mistake" in done.stderr
    assert "apt.txt" not in done.stderr


def test_files_in_the_folder_binder_are_those_that_count(build, root, repository):
    assert (
        build(repository=repository(binder__requirements_txt="extra==1.5\n", requirements_txt="nothere")).returncode
        == 0
    )
    assert version(root / "course-1", "extra") == "1.5"


def test_the_repository_may_be_a_project_itself(build, root, repository, index, monkeypatch):
    project = '[project]\nname = "lessons"\nversion = "0.1"\ndependencies = ["extra"]\n'
    write_wheel(index, "lessons", "0.1")
    code = (
        "import shutil\n"
        "def build_wheel(folder, *_):\n"
        f"    shutil.copy({str(index)!r} + '/lessons-0.1-py3-none-any.whl', folder)\n"
        "    return 'lessons-0.1-py3-none-any.whl'\n"
    )
    done = build(repository=repository(pyproject_toml=project + BACKEND, **{"backend.py": code}))
    assert done.returncode == 0, done.stderr
    assert version(root / "course-1", "lessons") == "0.1"
    assert version(root / "course-1", "extra") == "1.5"


def test_post_build_may_write_into_the_environment_and_find_its_programs(build, root, repository):
    script = '#!/bin/bash\npython -c "import server"\necho ready > "$NB_PYTHON_PREFIX/share.txt"\ncat lesson.txt\n'
    done = build(repository=repository(postBuild=script, lesson_txt="lesson"))
    assert done.returncode == 0, done.stderr
    assert (root / "course-1/share.txt").read_text() == "ready\n"
    assert (root / "course-1/repository/lesson.txt").read_text() == "lesson"


def test_an_environment_holds_the_files_that_it_is_given_and_imports_modules_among_them(build, root, repository):
    files = {"lib/python3*/site-packages/own.py": "__version__ = 'told'\n", "share/page/own.js": "own()\n"}
    done = build(repository=repository(lesson_txt="lesson"), files=files, settings={"etc/own.json": "{}"})
    assert done.returncode == 0, done.stderr
    assert version(root / "course-1", "own") == "told"
    assert (root / "course-1/share/page/own.js").read_text() == "own()\n"
    assert (root / "course-1/etc/own.json").read_text() == "{}"


def test_a_container_image_is_given_the_settings_alone(root, monkeypatch):
    monkeypatch.setattr(builder, "make_of_image", lambda order, prefix: None)
    files = {"lib/python3*/site-packages/own.py": "", "etc/module.json": "{}"}
    given = {"name": "lab", "python": PYTHON, "pinned": [], "image": "lab:1"}
    builder.build(builder.Order(path=str(root / "lab-1"), files=files, settings={"etc/own.json": "{}"}, **given))
    assert [path.name for path in root.glob("lab-1/**/*") if path.is_file()] == ["own.json"]


def test_servers_start_by_the_repositorys_own_start(build, root, repository):
    assert build(repository=repository(start='#!/bin/sh\nexport KIND=course\nexec "$@"\n')).returncode == 0
    said = subprocess.check_output([root / "course-1/start", "/bin/sh", "-c", "echo $KIND"], text=True)
    assert said == "course\n"


def test_modules_are_compiled_beside_their_sources_whatever_the_callers_environment_says(
    build, root, repository, monkeypatch, tmp_path
):
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path / "elsewhere"))
    assert build(repository=repository(requirements_txt="extra\n")).returncode == 0
    assert list(root.glob("course-1/lib/python3*/site-packages/extra/__pycache__/__init__.*.pyc"))


def test_nothing_else_is_compiled_where_all_modules_are_compiled_already(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(builder.subprocess, "run", lambda *words, **options: ran.append(words))
    builder.compile_modules(tmp_path)
    assert ran == []


def test_equal_files_are_kept_once_and_a_change_of_one_reaches_no_other_environment(build, root, repository):
    script = '#!/bin/bash\nfor file in "$NB_PYTHON_PREFIX"/lib/python3*/site-packages/extra/__init__.py; do\n'
    changing = script + "echo \"__version__ = 'changed'\" > $file; done\n"
    assert build("one-1", repository=repository(requirements_txt="extra\n")).returncode == 0
    assert build("two-1", repository=repository(requirements_txt="extra\n")).returncode == 0
    files = [next(root.glob(f"{name}/lib/python3*/site-packages/extra/__init__.py")) for name in ("one-1", "two-1")]
    compiled = [next(file.parent.glob("__pycache__/__init__.*.pyc")) for file in files]
    assert files[0].samefile(files[1])
    assert compiled[0].samefile(compiled[1])
    assert version(root / "two-1", "extra") == "1.5"

    assert build("three-1", repository=repository(requirements_txt="extra\n", postBuild=changing)).returncode == 0
    assert version(root / "three-1", "extra") == "changed"
    assert version(root / "one-1", "extra") == "1.5"
    assert build("four-1", repository=repository(requirements_txt="extra\n", postBuild="#!/bin/sh\n")).returncode == 0
    assert version(root / "four-1", "extra") == "1.5"


def test_two_builds_at_once_are_refused(build, root, repository):
    root.mkdir()
    with (root / ".building").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = build(repository=repository(requirements_txt="extra\n"))
    assert done.returncode == 1
    assert "Wait until it has ended" in done.stderr
    assert not (root / "course-1").exists()


def test_what_a_build_left_that_was_killed_is_gone_after_the_next(build, root, repository):
    (root / "course-1").mkdir(parents=True)
    (root / "course-1/rest").touch()
    assert build(repository=repository(requirements_txt="extra\n")).returncode == 0
    assert not (root / "course-1/rest").exists()
    assert (root / "course-1/complete").read_text() == "course"


@pytest.mark.parametrize(
    ("line", "pin"),
    [
        ("extra", ["extra==1.5"]),
        ("Extra>=1", ["Extra==1.5"]),
        ("extra[all] ~= 1.0 ; python_version > '3'", ["extra[all]==1.5"]),
        ("extra==1.5", []),
        ("extra===1.5", []),
        ("# extra", []),
        ("", []),
        ("-e .", []),
        ("--extra-index-url https://example.org", []),
        ("extra @ https://example.org/extra.whl", []),
        ("./extra", []),
        ("git+https://example.org/extra@v1", []),
        ("other", []),
    ],
)
def test_a_requirement_that_names_no_version_is_told_the_one_that_was_found(line, pin):
    assert builder.open_requirements([line], "extra==1.5 \\\n    --hash=sha256:1\n") == pin


@pytest.fixture
def stored(root, tmp_path, monkeypatch):
    """Make a folder of an environment; the older ones first."""
    root.mkdir()
    records = tmp_path / "run" / root.parent.name
    records.mkdir(parents=True)
    monkeypatch.setattr(pruner, "RECORDS", records.parent)

    def store(folder, name="", whole=True, used=False, offered=False):
        (root / folder).mkdir()
        if whole:
            (root / folder / "complete").write_text(name)
        if used:
            (records / f"{folder}.json").write_text(json.dumps({"environment": folder}))
        if offered:
            (root / name).symlink_to(folder)

    return store


def test_former_environments_go_but_for_those_that_are_kept_or_used(root, stored):
    stored("geo-1", "geo", used=True)
    stored("geo-2", "geo")
    stored("geo-3", "geo")
    stored("geo-4", "geo", offered=True)
    stored("geo-5", "geo", whole=False)
    stored("old-1", "old", offered=True)
    assert pruner.prune(root, 1, ["geo"]) == ["geo-2", "geo-5", "old", "old-1"]
    assert sorted(path.name for path in root.iterdir()) == [".building", "geo", "geo-1", "geo-3", "geo-4"]


def test_nothing_is_removed_while_another_run_builds(root, stored):
    stored("geo-1", "geo", whole=False)
    with (root / ".building").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert pruner.prune(root, 0, ["geo"]) == []
    assert (root / "geo-1").exists()
