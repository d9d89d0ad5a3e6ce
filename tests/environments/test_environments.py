# SPDX-License-Identifier: BSD-3-Clause
"""What servers contain, by the files that repositories of courses have."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from repositories import ENVIRONMENTS, commit, write

EXAMPLES = Path(__file__).parents[2] / "environments"
CHANNEL = Path(__file__).parents[1] / "conda_channel.py"

COURSE = {"requirements.txt": "humanize\nnumpy==2.2.6\nnbgitpuller==1.3.0\n"}
GEO = {
    "environment.yaml": "channels: [conda-forge]\nvariables: {KIND: 'geo data'}\n"
    "dependencies:\n  - geo=1\n  - proj\n  - pip:\n    - humanize\n",
}


def environments(folder):
    """What the scenario has, those of four courses, and the data of one."""
    return {
        "node_environments_folder": str(folder),
        "environment_conda_channels": ["file:///srv/channel"],
        "node_data": [
            {"name": "lidar", "environment": "course", "command": "python -c 'import humanize' && echo 42 > points"}
        ],
        "node_environments": [
            {"name": "default"},
            {"name": "course"},
            {"name": "geo", "repository": str(folder / "of-geography")},
            {"name": "tagged", "repository": f"file://{folder}/lessons", "ref": "v1"},
            {"name": "r", "repository": str(EXAMPLES / "r")},
        ],
    }


@pytest.fixture(scope="module")
def repositories(tmp_path_factory):
    folder = tmp_path_factory.mktemp("environments")
    write(folder / "course", COURSE)
    write(folder / "of-geography", GEO)
    write(folder / "lessons", {"requirements.txt": "humanize==4.12.0\n"})
    commit(folder / "lessons", "v1")
    return folder


@pytest.fixture(scope="module")
def built(host, play, repositories):
    script = base64.b64encode(CHANNEL.read_bytes()).decode()
    host.check_output(
        "rm -rf /srv/channel && printf %%s %s | base64 -d > /tmp/conda_channel.py && cd /tmp && python3 -c %s",
        script,
        "import pathlib, platform, conda_channel as c;"
        "c.make_channel(pathlib.Path('/srv/channel'), platform.python_version())",
    )
    done = play("--tags", "node_install", **environments(repositories))
    assert done.returncode == 0, done.stdout[-6000:]
    yield done.stdout
    restored = play("--tags", "node_install", node_environments_kept=0)
    assert restored.returncode == 0, restored.stdout[-6000:]
    host.check_output("rm -rf /srv/channel")
    assert host.check_output("ls %s", ENVIRONMENTS).split() == ["default", default_of(host)]


def default_of(host, name="default"):
    return host.check_output("readlink %s/%s", ENVIRONMENTS, name)


@pytest.fixture
def offered(drop_in, built):
    names = ("default", "course", "geo", "tagged", "r")
    drop_in(f"c.LibcloudSpawner.userserver_images = {[{'name': name} for name in names]!r}")


@pytest.fixture
def student(hub):
    yield "henry"
    hub.stop("henry")


def test_what_a_repository_leaves_open_is_said_with_the_pins_to_paste(built):
    assert "leaves open which versions to install" in built
    assert "humanize==" in built
    assert "numpy==2.2.6" not in built


def test_an_environment_of_conda_holds_the_packages_of_both_and_is_activated(offered, hub, student):
    hub.start(student, userserver_image="geo")
    kernel = hub.kernel(student)
    assert kernel.run("import geo, humanize; geo.__version__") == "'1.0'"
    assert kernel.run("import os; os.environ['KIND'], os.environ['PROJ_DATA'].split('/')[-1]") == "('geo data', 'proj')"
    assert "Successfully installed" in kernel.run("%pip install --no-deps isodate", 120)
    assert kernel.run("import isodate; '/.local/environments/geo/' in isodate.__file__") == "True"


def test_an_environment_has_r_from_the_distribution(offered, hub, student):
    hub.start(student, userserver_image="r")
    kernel = hub.kernel(student, kernel="ir")
    assert "[1] 42" in kernel.run("print(6 * 7)")
    assert "4.5" in kernel.run("library(ggplot2); print(mean(1:8))")


def test_an_environment_of_a_git_repository_is_tagged_by_its_commit(built, host, repositories):
    head = subprocess.check_output(["git", "-C", repositories / "lessons", "rev-parse", "v1"], text=True).strip()
    assert default_of(host, "tagged").startswith(f"tagged-{head[:7]}-")


def test_what_is_unchanged_is_not_built_again(built, play, repositories):
    again = play("--tags", "node_install", **environments(repositories))
    assert again.returncode == 0, again.stdout[-6000:]
    assert "changed=0" in again.stdout


@pytest.fixture
def lessons(host):
    """The address of a git repository."""
    host.check_output("rm -rf /srv/git && git init --quiet --initial-branch=main /srv/git/lessons")
    add_lesson(host, "week1.txt")
    serve = (
        "systemd-run --quiet --unit=test-git --collect git daemon --export-all --listen=127.0.0.1 --base-path=/srv/git"
    )
    host.check_output(serve)
    yield "git://127.0.0.1/lessons"
    host.check_output("systemctl stop test-git && rm -rf /srv/git")


def add_lesson(host, name):
    commit = "git -c user.name=a -c user.email=a@b commit --quiet --message lesson"
    host.check_output(f"cd /srv/git/lessons && echo lesson >{name} && git add . && {commit}")


def test_a_link_fetches_what_is_new_in_a_repository_and_keeps_what_the_student_wrote(
    offered, hub, student, host, lessons
):
    def follow():
        said = hub.call("GET", f"/user/{student}/git-pull/api?repo={lessons}&branch=main").text
        assert '"phase": "finished"' in said, said

    hub.start(student, userserver_image="course")
    follow()
    kernel = hub.kernel(student)
    kernel.run("open('lessons/week1.txt', 'w').write('my answer')")
    add_lesson(host, "week2.txt")
    follow()
    assert (
        kernel.run("open('lessons/week1.txt').read(), open('lessons/week2.txt').read()") == "('my answer', 'lesson\\n')"
    )


def test_data_are_fetched_for_all_servers_to_read(offered, hub, student):
    hub.start(student)
    kernel = hub.kernel(student)
    assert kernel.run("open('/data/lidar/points').read()") == "'42\\n'"
    assert "Read-only" in kernel.run("open('/data/lidar/points', 'w')")


def test_a_changed_environment_is_built_beside_the_one_that_servers_run_from(
    offered, host, hub, play, repositories, student
):
    former = default_of(host, "tagged")
    hub.start(student, userserver_image="tagged")
    kernel = hub.kernel(student)
    assert kernel.run("import humanize; humanize.__version__") == "'4.12.0'"
    write(repositories / "lessons", {"requirements.txt": "humanize==4.13.0\n"})
    subprocess.run(["git", "-C", repositories / "lessons", "tag", "--delete", "v1"], check=True)
    commit(repositories / "lessons", "v1")
    moved = play("--tags", "node_install", node_environments_kept=0, **environments(repositories))
    assert moved.returncode == 0, moved.stdout[-6000:]
    assert default_of(host, "tagged") != former
    assert host.file(f"{ENVIRONMENTS}/{former}/complete").exists, "a server runs from it"
    assert kernel.run("import matplotlib; 1 + 1") == "2"

    hub.stop(student)
    hub.start(student, userserver_image="tagged")
    assert hub.kernel(student).run("import humanize; humanize.__version__") == "'4.13.0'"
    pruned = play("--tags", "node_install", node_environments_kept=0, **environments(repositories))
    assert pruned.returncode == 0, pruned.stdout[-6000:]
    assert not host.file(f"{ENVIRONMENTS}/{former}").exists


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"requirements.txt": "no-such-package-anywhere==1\n"}, "no-such-package-anywhere"),
        ({"requirements.txt": "jupyterhub==0.9.2\n"}, "jupyterhub==0.9.2"),
        # Written in C, and without wheels for any Python of today.
        ({"requirements.txt": "netifaces==0.11.0\n"}, "such as build-essential and python3-dev."),
        ({"postBuild": "#!/bin/sh\necho the data is gone >&2\nexit 1\n"}, "postBuild failed: the data is gone"),
        ({"apt.txt": "no-such-package-of-debian\n"}, "no-such-package-of-debian"),
    ],
)
def test_what_cannot_be_built_is_said_and_the_former_one_stays_offered(
    built, host, play, repositories, tmp_path, files, words
):
    former = default_of(host, "course")
    wanted = environments(repositories)
    wanted["node_environments"][1]["repository"] = str(write(tmp_path / "broken", files))
    done = play("--tags", "node_install", **wanted)
    assert done.returncode != 0
    assert words in done.stdout
    assert default_of(host, "course") == former
    there = host.check_output("ls -d %s/*-*/ | wc -l", ENVIRONMENTS)
    assert host.check_output("ls %s/*-*/complete | wc -l", ENVIRONMENTS) == there


def test_data_that_cannot_be_fetched_are_named_and_the_former_ones_stay(built, host, play, repositories):
    wanted = environments(repositories)
    wanted["node_data"][0]["command"] = "echo the server is gone >&2; exit 1"
    done = play("--tags", "node_install", **wanted)
    assert done.returncode != 0
    assert "The data lidar were not fetched. the server is gone" in done.stdout
    assert host.file("/data/lidar/points").content_string == "42\n"


def test_a_full_disk_is_said_and_leaves_nothing(host, play):
    host.check_output("mount -t tmpfs -o size=20M tmpfs %s", ENVIRONMENTS)
    try:
        done = play("--tags", "node_install")
        assert done.returncode != 0
        assert "No space left on device" in done.stdout
        assert host.run("ls -d %s/*-*/", ENVIRONMENTS).stdout == ""
    finally:
        host.check_output("umount %s", ENVIRONMENTS)


def test_a_node_holds_thirty_environments_that_take_little_more_room_than_one(host, play, tmp_path):
    names = [f"course-{number:02}" for number in range(30)]
    for name in names:
        write(tmp_path / name, {"requirements.txt": "humanize==4.12.0\n"})
    done = play(
        "--tags",
        "node_install",
        node_environments_folder=str(tmp_path),
        node_environments=[{"name": "default"}, *({"name": name} for name in names)],
    )
    assert done.returncode == 0, done.stdout[-6000:]
    for name in names:
        host.check_output("%s/%s/bin/python -s -c %s", ENVIRONMENTS, name, "import humanize, jupyterhub, jupyterlab")
    one = int(host.check_output("du --summarize %s/course-00-*", ENVIRONMENTS).split()[0])
    shared = int(host.check_output("du --summarize --total %s/course-*-*/ | tail -1", ENVIRONMENTS).split()[0])
    print(f"thirty environments take {shared / one:.2f} times the room of one")
    assert shared < 3 * one
    restored = play("--tags", "node_install", node_environments_kept=0)
    assert restored.returncode == 0, restored.stdout[-6000:]
    assert host.check_output("ls %s", ENVIRONMENTS).split() == ["default", default_of(host)]
