# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role image calls an image by, and what it refuses."""

from __future__ import annotations

import json
import re

import pytest
from playbook import run_playbook
from role_settings import problem_checks, refusal, templar

CLOUD = {"sources": {"debian-12": "i-12", "debian-13": "i-13", "twin": ""}, "images": []}
BASE = {"image_source": "debian-12", "node_environments": [{"name": "default"}, {"name": "r"}]}

# One host for each way in which an image may differ from the first one, or may not.
SAME = {
    "again": {},
    "larger": {"image_size": "large", "image_kept": 5, "image_boot_timeout": 5, "image_ssh_user": "root"},
}
OTHER = {
    "newer": {"image_source": "debian-13"},
    "refreshed": {"image_refresh": "2026-11"},
    "account": {"image_accounts": ["student"]},
    "package": {"node_packages": ["r-base"]},
    "mirror": {"environment_pip_index": "https://pypi.example.org/simple"},
    "environment": {"node_environments": [{"name": "default"}]},
    # A folder of the image's own name.
    "course": {},
    "locked": {"node_environments": [{"name": "default", "requirements": "{folder}/requirements.txt"}]},
}
PLAYBOOK = """
- hosts: hub
  gather_facts: false
  tasks:
    - ansible.builtin.set_fact:
        __image_cloud: {cloud}
- hosts: images
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: libcloudspawner.jupyterhub.image
        tasks_from: plan
"""


@pytest.fixture(scope="module")
def tags(tmp_path_factory):
    """The tag of each image, from one run of what names them."""
    folder = tmp_path_factory.mktemp("images")
    for environment in ("r", "course"):
        (folder / "environments" / environment).mkdir(parents=True)
        (folder / "environments" / environment / "requirements.txt").write_text("six==1.17.0\n")
    (folder / "requirements.txt").write_text("six==1.17.0\n")
    hosts = {"first": {}, **SAME, **OTHER}
    images = {name: {**BASE, **values} for name, values in hosts.items()}
    common = {"ansible_connection": "local", "node_environments_folder": str(folder / "environments")}
    text = json.dumps({"all": {"vars": common}, "hubs": {"hosts": {"hub": {}}}, "images": {"hosts": images}})
    (folder / "inventory.yml").write_text(text.replace("{folder}", str(folder)))
    (folder / "plan.yml").write_text(PLAYBOOK.replace("{cloud}", json.dumps(CLOUD)))
    done = run_playbook(str(folder / "inventory.yml"), str(folder / "plan.yml"), "--check", ansible_become=False)
    assert done.returncode == 0, done.stdout
    return dict(re.findall(r'"(\w+)-([0-9a-f]{12}) would be built upon', done.stdout))


def test_an_image_is_called_by_what_goes_into_it(tags):
    assert {name: tags[name] for name in SAME} == dict.fromkeys(SAME, tags["first"])
    others = {name: tags[name] for name in OTHER}
    assert len({tags["first"], *others.values()}) == 1 + len(OTHER), others


PROGRAMS = {
    "results": [{"rc": int(name in ("mcopy", "qemu-img")), "item": name} for name in ("mcopy", "qemu-img", "sfdisk")]
}


def refused(**variables):
    checks, of_task = problem_checks("image", "problems")
    known = {
        "inventory_hostname": "jupyter",
        "groups": {"hubs": ["hub"], "images": ["jupyter"]},
        "hostvars": {"hub": {"__image_cloud": CLOUD}},
        "image_source": "debian-12",
        **of_task,
    }
    return refusal(checks, templar("image", **{**known, **variables}))


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"image_source": ""}, "image_source is empty. Name the image"),
        ({"image_source": "debian-7"}, "the cloud has no image of that name. It has: debian-12, debian-13, twin."),
        ({"image_source": "twin"}, "the cloud has several images of that name"),
        ({"inventory_hostname": "Big Image"}, "Big Image, which must be at most 41 small"),
        ({"image_kept": -1}, "image_kept is -1"),
        ({"groups": {"images": ["jupyter"]}}, "no host in the group hubs"),
        ({"image_provider": "qcow2", "__image_programs": PROGRAMS}, "apt-get install mtools qemu-utils"),
        ({"groups": {"hubs": ["hub"], "images": ["jupyter"], "nodes": ["jupyter"]}}, "cannot be both"),
    ],
)
def test_what_cannot_be_built_is_refused_with_the_reason(variables, words):
    assert words in refused(**variables)


def test_what_can_be_built_is_not_refused():
    assert refused() == ""
