# SPDX-License-Identifier: GPL-3.0-or-later
"""What the preflight finds, from the variables of a play to the one message of the playbook."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.libcloudspawner.jupyterhub.plugins.action.preflight import entry_points, unknown_names

ROOT = Path(__file__).parents[4]
PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - libcloudspawner.jupyterhub.preflight:
        role: hub
        found_before: "{{ found_before | default(['Found before.']) }}"
        checks: CHECKS
      register: preflight
    - copy: {content: "{{ preflight.problems | to_json }}", dest: "RESULT"}
"""


@pytest.fixture
def problems(tmp_path):
    """Run the plugin in a play with these variables and checks; what it finds."""

    def find(checks=(), **variables):
        result = tmp_path / "result.json"
        play = PLAY.replace("CHECKS", json.dumps(list(checks))).replace("RESULT", str(result))
        (tmp_path / "play.yml").write_text(play)
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "playbooks/collections")}
        command = ["ansible-playbook", "play.yml", "--inventory", "localhost,", "--connection", "local"]
        command += ["--extra-vars", json.dumps({"ansible_python_interpreter": sys.executable, **variables})]
        ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return json.loads(result.read_text())

    return find


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("hub_htp_port", "hub_http_port"), ("hub_admin_user", "hub_admin_users"), ("hub_mem_limt", "hub_mem_limit")],
)
def test_an_unknown_variable_is_named_with_the_nearest_known_one(name, nearest):
    known = entry_points("hub")["main"]
    assert list(unknown_names([name], known, "hub_", [])) == [f"There is no variable {name}; did you mean {nearest}?"]


def test_a_name_that_is_near_to_none_gets_a_hint_all_the_same():
    (sentence,) = unknown_names(["hub_zzzzzzzzz"], ["hub_http_port"], "hub_", [])
    assert "ansible-doc -t role" in sentence


@pytest.mark.parametrize("name", ["hub_http_port", "hubert", "github_token", "_hub_state", "node_exporter_version"])
def test_what_is_known_ignored_or_without_the_prefix_is_no_problem(name):
    assert list(unknown_names([name], ["hub_http_port"], "hub_", [])) == []
    assert list(unknown_names([name], [], "node_", ["node_exporter_*"])) == []


def test_the_variables_of_all_entry_points_are_known():
    assert "node_remove_homes" in entry_points("node")["remove"]


def test_everything_is_found_at_once_and_nothing_twice(problems):
    checks = [
        {"that": "1 == 1", "otherwise": "{{ this_is_never_put_together }}"},
        {"that": ["1 == 1", "1 == 2"], "otherwise": "One is {{ 1 }} and not two."},
        {"that": "hub_http_port > 5", "otherwise": "Not reached: what follows from a wrong type says nothing new."},
    ]
    found = problems(checks, hub_http_port="abc", hub_htp_port=1, hub_cpu_limit="lots", hub_config="{{ nowhere }}")
    assert found[0] == "Found before."
    assert len(found) == len(set(found)) == 6
    text = "\n".join(found)
    assert "did you mean hub_http_port?" in text
    assert "argument 'hub_http_port' is of type str and we were unable to convert to int" in text
    assert "argument 'hub_cpu_limit' is of type str and we were unable to convert to float" in text
    assert "The value of hub_config cannot be read" in text
    assert "One is 1 and not two." in text


def test_a_secret_of_a_wrong_type_is_named_without_its_value(problems):
    found = problems(hub_config_secret="hunter2", hub_libcloud_driver_params=["hunter2"], hub_services=["hunter2"])
    assert len(found) >= 4
    assert "hunter2" not in "\n".join(found)


def test_a_check_that_cannot_be_made_is_a_problem_where_nothing_explains_it(problems):
    (sentence,) = problems([{"that": "nowhere > 1", "otherwise": "No."}], found_before=[])
    assert "nowhere > 1" in sentence
