# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role hub makes of its variables."""

from __future__ import annotations

import base64
import json

import pytest
from ansible.template import trust_as_template
from ansible_collections.libcloudspawner.jupyterhub.plugins.filter.certificate import certificate
from ansible_collections.libcloudspawner.jupyterhub.plugins.filter.hub_conflicts import hub_conflicts
from certificates import self_signed
from role_settings import ROLES, ROOT, load, problem_checks, rendered, templar
from role_settings import refusal as said_by
from traitlets.config import Config

SHARED = ROOT / "templates/jupyterhub_config.py.j2"
SECRET = ROLES / "hub/templates/secret_config.py.j2"


# What getent says of the account and the group as the roles make them.
NAMES = "jupyterhub:x:998:997::/var/lib/jupyterhub:/usr/sbin/nologin\njupyterhub:x:997:"


def refusal(**variables):
    """What the checks say that refuse the variables; empty if none does."""
    found = {
        "__hub_ancestor": {"files": []},
        "__hub_found": {"files": []},
        "__hub_former_secrets": {},
        "__hub_former_config": {},
        "__hub_former_servers": {},
        "__hub_port": {},
        "__hub_host": {"hubs": [], "listening": []},
        "__hub_is_active": {"stdout": "inactive"},
        "__hub_proxy": {"stdout_lines": []},
        "__hub_https_ports": {},
        "__hub_nodejs": {},
        "_hub_nodejs_minimum": "18",
        "ansible_run_tags": ["all"],
        "ansible_skip_tags": [],
    }
    defaults = {"hub_admin_users": ["ada"], "groups": {}, "inventory_hostname": "hub", **found}
    checks, of_task = problem_checks("hub", "sign_in", "problems")
    # No filter of the collection is there without Ansible itself.
    filtered = {"__hub_conflicts": []}
    return said_by(checks, templar("hub", **{**defaults, **of_task, **filtered, **variables}))


def refusal_of_host(facts, names=NAMES, **variables):
    """What the checks of every host say to one with these facts and names; empty if none refuses it."""
    platform = {"distribution": "Debian", "distribution_version": "12", "distribution_major_version": "12"}
    good = {**platform, "service_mgr": "systemd", "systemd": {"version": 252}, "python": {"version_info": [3, 11, 2]}}
    checks, of_task = problem_checks("environment", "problems")
    known = {"inventory_hostname": "hub", "__environment_names": {"stdout": names}, **of_task, **variables}
    return said_by(checks, templar("environment", ansible_facts={**good, **facts}, **known))


def configuration(template, **variables):
    """The settings that a rendered configuration makes."""
    known = {"hub_authenticator": "dummy", "__hub_token": {"content": "dG9rZW4="}, **variables}
    config = Config()
    exec(
        rendered(template, templar("hub", **known)),
        {"c": config, "get_config": lambda: config, "load_subconfig": lambda path: None},
    )
    return config


@pytest.mark.parametrize("text", ["🎓 Große Daten", "a \"b\" 'c' \\ \n", "\u2028\x7f", "日本"])
def test_every_text_arrives_as_it_was_written(text):
    size = {"name": "large", "display_name": text}
    public = configuration(SHARED, hub_userserver_sizes=[size], hub_environment={"TEXT": text}, hub_admin_users=[text])
    assert public.LibcloudSpawner.userserver_sizes == [size]
    assert public.LibcloudSpawner.environment == {"TEXT": text}
    assert public.Authenticator.admin_users == {text}

    secret = configuration(
        SECRET,
        hub_config_secret={"GitHubOAuthenticator": {"client_secret": text}},
        hub_services=[{"name": "tests", "api_token": text}],
        hub_dummy_password=text,
    )
    assert secret.GitHubOAuthenticator.client_secret == text
    assert secret.JupyterHub.services[1]["api_token"] == text
    assert secret.DummyAuthenticator.password == text


def test_an_environment_that_holds_the_ancestor_is_refused_with_the_command_that_removes_it():
    found = {"files": [{"path": "/opt/jupyterhub/hub/lib/python3.11/site-packages/libcloudspawner-0.1.dist-info"}]}
    assert 'rm -r "$(realpath /opt/jupyterhub/hub)"' in refusal(__hub_ancestor=found)


@pytest.mark.parametrize("line", ["libcloudspawner==0.1 \\", "Libcloudspawner", "libcloudspawner[all]>=0"])
def test_requirements_that_ask_for_the_ancestor_are_refused_before_it_is_installed(line):
    said = refusal(hub_requirements="/srv/own.txt", __hub_required=f"jupyterhub==6.0.0\n{line}\n")
    assert "/srv/own.txt, which hub_requirements names, asks for the package libcloudspawner" in said


def test_further_packages_that_ask_for_the_ancestor_are_refused():
    assert "hub_extra_packages asks for the package libcloudspawner" in refusal(
        hub_extra_packages=["numpy", "libcloudspawner==2.3.3"]
    )
    assert refusal(hub_extra_packages=["numpy", "jupyter-libcloudspawner-themes"]) == ""


def test_a_hub_that_the_role_did_not_set_up_is_not_overwritten():
    theirs = ["/etc/systemd/system/jupyterhub.service", "/etc/jupyterhub/jupyterhub_config.py"]
    said = refusal(__hub_found={"files": [{"path": path} for path in theirs]})
    assert "There is a hub on hub that this role did not set up: /etc/systemd/system/jupyterhub.service, /etc" in said
    # What another hub of the host was installed with says nothing of this one.
    assert refusal(__hub_found={"files": [{"path": path} for path in [*theirs, "/opt/jupyterhub-uv/bin/uv"]]}) != ""
    own = [*theirs, "/etc/jupyterhub/secrets/singleuser.token"]
    assert refusal(__hub_found={"files": [{"path": path} for path in own]}) == ""


def test_an_account_of_somebody_else_is_not_taken_over():
    theirs = "jupyterhub:x:1000:1000:Our hub,,,:/home/jupyterhub:/bin/bash\njupyterhub:x:1000:"
    assert "hub has an account jupyterhub of somebody else, whose home is not /var/lib/jupyterhub" in refusal_of_host(
        {}, theirs
    )


def test_a_group_whose_members_could_start_servers_is_refused_naming_them():
    said = refusal_of_host({}, f"{NAMES}ada,bob\nother:carol")
    assert "The group jupyterhub of hub has members" in said
    assert said.endswith("Take them out of it: ada, bob, carol.")
    assert refusal_of_host({}, "") == ""


@pytest.mark.parametrize("line", ["# libcloudspawner", "libcloudspawner-extras==1", "jupyter-libcloudspawner==1", ""])
def test_other_requirements_are_not_taken_for_the_ancestor(line):
    assert refusal(hub_requirements="/srv/own.txt", __hub_required=f"{line}\njupyterhub-idle-culler\n") == ""


def test_an_authenticator_that_lets_everybody_in_is_refused_unless_that_is_meant():
    assert "Set hub_allow_dummy: true if this is a trial" in refusal(hub_authenticator="dummy")
    assert refusal(hub_authenticator="dummy", hub_allow_dummy=True) == ""


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"distribution": "Fedora"}, "hub runs Fedora 12, and this collection needs one of Debian 12"),
        ({"distribution_major_version": "10"}, "hub runs Debian 10, and this collection needs one of Debian 12"),
        ({"service_mgr": "openrc"}, "hub is run by openrc, and this collection needs systemd"),
        ({"systemd": {"version": 245}}, "hub has systemd 245, and"),
        ({"python": {"version_info": [3, 9, 2]}}, "Ansible runs Python 3.9 on hub, and 3.10 or newer is needed"),
    ],
)
def test_a_host_that_cannot_carry_a_hub_is_refused_by_what_it_lacks(facts, words):
    assert words in refusal_of_host(facts)


def test_a_host_that_can_carry_a_hub_is_not_refused():
    assert refusal_of_host({}) == ""


def test_the_defaults_lack_nothing_but_an_administrator():
    assert refusal() == ""
    assert "name at least one user" in refusal(hub_admin_users=[])


@pytest.mark.parametrize(
    ("connect_url", "address", "listens_on"),
    [
        ("", "", "http://127.0.0.1:8081"),
        ("", "0.0.0.0", "http://0.0.0.0:8081"),
        ("http://127.0.0.1:9000", "", "http://127.0.0.1:9000"),
        ("http://localhost:8081", "", "http://localhost:8081"),
        ("http://10.0.0.1:8081", "", "http://0.0.0.0:8081"),
        ("http://10.0.0.1:9000", "10.0.0.1", "http://10.0.0.1:9000"),
        ("http://hub.example.org:8081", "", "http://0.0.0.0:8081"),
        ("http://hub.example.org", "", "http://0.0.0.0:8081"),
        ("https://hub.example.org:8443", "", "http://0.0.0.0:8081"),
        ("http://hub.example.org:8081", "fd00::1", "http://[fd00::1]:8081"),
    ],
)
def test_the_hub_listens_where_instances_look_for_it(connect_url, address, listens_on):
    variables = {"hub_connect_url": connect_url, "hub_api_address": address}
    config = configuration(SHARED, **variables)
    assert config.JupyterHub.hub_bind_url == listens_on
    assert config.JupyterHub.hub_connect_url == (connect_url or "http://127.0.0.1:8081")
    assert refusal(**variables) == ""


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"hub_connect_url": "10.0.0.1:8081"}, "hub_connect_url must be like"),
        ({"hub_connect_url": "http://10.0.0.1:8081/"}, "hub_connect_url must be like"),
        ({"hub_connect_url": "http://10.0.0.1:port"}, "hub_connect_url must be like"),
        ({"hub_connect_url": "http://[fd00::1]:8081"}, "a name instead of an IPv6 address"),
        ({"hub_connect_url": "http://10.0.0.1:80"}, "between 1024 and 65535"),
        ({"hub_connect_url": "http://10.0.0.1:8001"}, "and not 8001"),
        ({"hub_connect_url": "http://10.0.0.1:8000"}, "hub_http_port must be neither"),
        ({"hub_http_port": 8081}, "hub_http_port must be neither"),
        ({"hub_api_address": "10.0.0.1"}, "http://10.0.0.1:8081"),
        ({"hub_base_url": "/class"}, "end with a slash"),
    ],
)
def test_addresses_that_cannot_work_are_refused(variables, words):
    assert words in refusal(**variables)


@pytest.mark.parametrize(
    ("address", "url"),
    [("", "http://:8000/"), ("127.0.0.1", "http://127.0.0.1:8000/"), ("::1", "http://[::1]:8000/")],
)
def test_the_public_url_holds_the_address_of_the_proxy(address, url):
    assert configuration(SHARED, hub_http_address=address).JupyterHub.bind_url == url


@pytest.mark.parametrize("name", ["default", "jupyterhub.auth.PAMAuthenticator", "jupyterhub.auth.LocalAuthenticator"])
def test_an_authenticator_that_needs_root_is_refused(name):
    assert "PAM" in refusal(hub_authenticator=name)


@pytest.mark.parametrize("name", ["native", "pam", "null", "gitlab", "oauthenticator.github.LocalGitHubOAuthenticator"])
def test_an_authenticator_that_needs_no_root_is_not_refused(name):
    assert refusal(hub_authenticator=name) == ""


def test_the_database_may_have_a_password():
    url = "postgresql+psycopg://hub:hunter2@db.example.org/hub"
    assert "db_url" not in configuration(SHARED, hub_db_url=url).JupyterHub
    assert configuration(SECRET, hub_db_url=url).JupyterHub.db_url == url


@pytest.mark.parametrize(
    ("url", "uri", "password"),
    [
        ("", "", ""),
        ("sqlite:////srv/hub.sqlite", "", ""),
        ("mysql+pymysql://hub:hunter2@db/hub", "", "hunter2"),
        (
            "postgresql+psycopg://hub:h%3A%40@db.example.org/hub",
            "postgresql://hub@db.example.org/hub?passfile=/etc/jupyterhub/secrets/database.pgpass",
            "h%3A%40",
        ),
        (
            "postgresql://hub:hunter/2@db:5433/hub?sslmode=require",
            "postgresql://hub@db:5433/hub?sslmode=require&passfile=/etc/jupyterhub/secrets/database.pgpass",
            "hunter/2",
        ),
        ("postgresql:///hub?host=/run/postgresql", "postgresql:///hub?host=/run/postgresql", ""),
    ],
)
def test_programs_of_postgresql_are_told_of_the_database_without_its_password(url, uri, password):
    known = templar("hub", hub_db_url=url)
    assert known.template(trust_as_template("{{ _hub_postgresql }}")) == uri
    assert known.template(trust_as_template("{{ _hub_db_password }}")) == password
    assert not password or password not in known.template(trust_as_template("{{ _hub_backup_command | join(' ') }}"))


@pytest.mark.parametrize(
    ("former", "variables", "words"),
    [
        ("sqlite:////var/lib/jupyterhub/jupyterhub.sqlite", {}, ""),
        ("sqlite:////var/lib/jupyterhub/jupyterhub.sqlite", {"hub_db_type": "postgresql"}, "would not be taken along"),
        (
            "sqlite:////var/lib/jupyterhub/jupyterhub.sqlite",
            # As the command line has it.
            {"hub_db_type": "postgresql", "hub_allow_new_database": "true"},
            "",
        ),
        (
            "sqlite:////var/lib/jupyterhub/jupyterhub.sqlite",
            {"hub_db_type": "postgresql", "hub_copy_database": "true"},
            "",
        ),
        (
            "sqlite:////var/lib/jupyterhub/jupyterhub.sqlite",
            {"hub_db_type": "postgresql", "hub_copy_database": "true", "hub_allow_new_database": "true"},
            "Give one of the two",
        ),
        ("postgresql+psycopg:///jupyterhub?host=/run/postgresql", {"hub_db_type": "postgresql"}, ""),
        (
            "postgresql://hub:former@db/hub",
            {"hub_db_url": "postgresql+psycopg://jupyterhub:later@db/hub?sslmode=require"},
            "",
        ),
        ("postgresql://hub:former@db/hub", {}, "keeps its users in postgresql://db/hub"),
        (
            "postgresql:///hub?password=former&host=db1",
            {"hub_db_url": "postgresql:///hub?host=db2"},
            "keeps its users in postgresql:///hub?host=db1, and",
        ),
        (
            "postgresql:///hub?port=5432",
            {"hub_db_url": "postgresql:///hub?port=5433"},
            "in postgresql:///hub?port=5432",
        ),
        ("postgresql://db?dbname=one", {"hub_db_url": "postgresql://db?dbname=two"}, "in postgresql://db?dbname=one"),
        ("postgresql:///hub?host=db&sslmode=no", {"hub_db_url": "postgresql:///hub?connect_timeout=9&host=db"}, ""),
    ],
)
def test_a_hub_does_not_lose_its_users_by_another_database(former, variables, words):
    text = f"# Managed\n\nc.JupyterHub.db_url = {json.dumps(former)}\nc.JupyterHub.services = []\n"
    said = refusal(__hub_former_secrets={"content": base64.b64encode(text.encode()).decode()}, **variables)
    assert (words in said) if words else said == ""
    assert "former" not in said


@pytest.mark.parametrize("flag", ["hub_copy_database", "hub_allow_new_database"])
@pytest.mark.parametrize(
    ("run", "skipped", "is_refused"),
    [
        (["all"], [], False),
        (["all"], ["node_install"], False),
        (["hub_configure", "hub_service"], [], False),
        (["hub_service"], [], True),
        (["all"], ["hub_configure"], True),
    ],
)
def test_a_hub_changes_its_database_only_where_it_is_configured(flag, run, skipped, is_refused):
    tags = {"ansible_run_tags": run, "ansible_skip_tags": skipped}
    former = base64.b64encode(b'c.JupyterHub.db_url = "postgresql://db/hub"\n').decode()
    said = refusal(**{flag: "true"}, **tags, __hub_former_secrets={"content": former})
    assert ("name hub_configure and hub_service" in said) is is_refused
    assert refusal(**{flag: "true"}, **tags, hub_db_url="postgresql://db/hub") == ""


def test_users_that_are_to_be_taken_along_are_not_left_where_nobody_knows():
    unknown = {"content": base64.b64encode(b"c.JupyterHub.services = []\n").decode()}
    said = refusal(hub_copy_database="true", __hub_former_secrets=unknown)
    assert "stands not in /etc/jupyterhub/secrets/secret_config.py" in said
    # Of a hub that is not there yet, and where nothing is to be taken along.
    assert refusal(hub_copy_database="true") == ""
    assert refusal(__hub_former_secrets=unknown) == ""


def test_a_database_is_made_or_named_and_not_both():
    assert "Leave out one" in refusal(hub_db_type="postgresql", hub_db_url="postgresql://db/hub")


def test_hub_config_wins_over_what_the_role_says_of_connections():
    variables = {"hub_db_type": "postgresql", "hub_config": {"JupyterHub": {"db_kwargs": {"pool_size": 9}}}}
    config = configuration(SHARED, **variables)
    config.merge(configuration(SECRET, **variables))
    assert config.JupyterHub.db_kwargs == {"pool_size": 9}


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite+pysqlite://"])
def test_a_database_in_memory_is_refused(url):
    assert "would be gone whenever the hub starts" in refusal(hub_db_url=url)
    assert refusal(hub_db_url="sqlite:////srv/hub.sqlite") == ""


@pytest.mark.parametrize(
    ("url", "is_refused"),
    [
        ("sqlite:////srv/hub.sqlite", True),
        ("sqlite:////var/lib/jupyterhub/../hub.sqlite", True),
        ("sqlite:////var/lib/jupyterhub/hub.sqlite", False),
        ("sqlite:///hub.sqlite", False),
        ("postgresql://hub@db/hub", False),
    ],
)
def test_users_are_not_copied_to_where_the_hub_may_not_write(url, is_refused):
    said = refusal(hub_copy_database=True, hub_db_url=url)
    assert ("The hub may write below /var/lib/jupyterhub alone" in said) is is_refused


@pytest.mark.parametrize(
    ("password", "is_refused"), [("p@ss", True), ("p@s@s", True), ("p%40ss", False), ("hunter/2", False)]
)
def test_a_password_that_is_cut_off_at_its_own_at_is_refused(password, is_refused):
    said = refusal(hub_db_url=f"postgresql+psycopg://hub:{password}@db/hub?application_name=a@b")
    assert ("Write it as %40" in said) is is_refused
    assert "p@s" not in said


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("  Installed: (none)\n  Candidate: 12.22.9~dfsg-1ubuntu3", "is version 12.22.9, and the proxy needs 18"),
        ("  Installed: 16.20.2-1nodesource1\n  Candidate: 18.19.0+dfsg-6", "is version 16.20.2"),
        ("  Installed: (none)\n  Candidate: 18.19.0+dfsg-6~deb12u2", ""),
        ("  Installed: (none)\n  Candidate: (none)", ""),
    ],
)
def test_a_node_js_that_is_too_old_for_the_proxy_is_refused(said, words):
    assert words in refusal(__hub_nodejs={"stdout": said})
    assert bool(words) == bool(refusal(__hub_nodejs={"stdout": said}))


def test_a_module_that_would_hide_the_spawner_is_refused():
    assert "hide the spawner" in refusal(hub_userdata_module="/srv/libcloudspawner/")


@pytest.mark.parametrize("variable", ["hub_config", "hub_config_secret"])
@pytest.mark.parametrize("setting", ["services", "load_roles", "db_url"])
def test_what_the_role_fills_is_not_replaced(variable, setting):
    said = refusal(**{variable: {"JupyterHub": {setting: [], "port": 1}}})
    assert f"JupyterHub.{setting}," in said
    assert f"hub_{setting}" in said


def test_a_file_of_the_operators_own_adds_services():
    config = configuration(SECRET, hub_services=[{"name": "tests"}])
    own = Config()
    own.JupyterHub.services.append({"name": "grader"})
    config.merge(own)
    assert [service["name"] for service in config.JupyterHub.services][1:] == [
        "tests",
        "jupyterhub-idle-culler",
        "grader",
    ]


def removal_is_refused(name, **variables):
    """What a removal says that ends at the task of this name; empty if it goes on."""
    (block,) = (task for task in load(ROLES / "hub/tasks/remove.yml") if "block" in task)
    (task,) = (task for task in block["block"] if task["name"] == name)
    known = templar("hub", **{**block["vars"], **variables})
    check = task["ansible.builtin.assert"]
    return "" if all(map(known.evaluate_conditional, check["that"])) else known.template(check["fail_msg"])


@pytest.mark.parametrize("state", ["inactive", "failed", "activating", ""])
def test_a_hub_that_is_down_is_not_removed_as_long_as_it_may_have_machines(state):
    task = "Refuse to forget machines that only the hub can find"
    down = {"__hub_active": {"stdout": state}}
    said = removal_is_refused(task, __hub_has_run={"stat": {"exists": True}}, **down)
    assert "Start jupyterhub.service first" in said
    assert "remove /var/lib/jupyterhub, and run" in said
    assert removal_is_refused(task, __hub_has_run={"stat": {"exists": False}}, **down) == ""
    up = {"__hub_active": {"stdout": "active"}}
    assert removal_is_refused(task, __hub_has_run={"stat": {"exists": True}}, **up) == ""


def test_machines_that_hold_files_are_destroyed_only_when_that_is_asked_for():
    task = "Refuse to destroy machines that hold the files of their users"
    running = {
        "hub_provider": "openstack",
        "__hub_servers": {"singleusers": [{"user": "ada", "name": "", "state": "started"}]},
    }
    assert "Servers of ada run on machines" in removal_is_refused(task, **running)
    assert removal_is_refused(task, hub_remove_machines=True, **running) == ""
    assert removal_is_refused(task, hub_storage_type="volume", **running) == ""
    trial = [{"display_name": "Trial", "spawner_override": {"storage_type": "home"}}]
    assert "Servers of ada" in removal_is_refused(task, hub_storage_type="volume", hub_profile_list=trial, **running)
    # Changed since the last run of the play: the machines are what they were.
    former = installed(hub_provider="openstack")
    assert "Servers of ada" in removal_is_refused(task, hub_storage_type="volume", **former, **running)


def installed(hub_provider="systemd", hub_storage_type="home", hub_profile_list=(), **_):
    """What the hub runs with that was set up with these variables, as far as its template says where files are."""
    lines = [f'c.LibcloudSpawner.provider = "{hub_provider}"']
    if hub_profile_list:
        lines.append(f"c.LibcloudSpawner.profile_list = {json.dumps(hub_profile_list, indent=4)}")
    if hub_provider == "local":
        lines.append('c.LibcloudSpawner.local_folder = "/run/hub"')
    else:
        lines.append(f'c.LibcloudSpawner.storage_type = "{hub_storage_type}"')
    text = "\n".join(lines)
    return {"__hub_former_config": {"content": base64.b64encode(text.encode()).decode()}}


FACTS = {"ansible_facts": {"default_ipv4": {"address": "10.0.0.1"}}}
TRIAL = [{"display_name": "Trial", "spawner_override": {"storage_type": "none"}}]
CLOUD = {
    "hub_provider": "openstack",
    "hub_id": "physics",
    "hub_connect_url": "http://10.0.0.5:8081",
    "hub_userserver_sizes": ["s"],
    "hub_userserver_net": "n",
}
VOLUME = {**CLOUD, "hub_storage_type": "volume"}


@pytest.mark.parametrize(
    ("former", "variables", "is_refused"),
    [
        (CLOUD, VOLUME, True),
        ({**VOLUME, "hub_profile_list": TRIAL}, VOLUME, True),
        ({"hub_storage_type": "none"}, {}, True),
        (CLOUD, {**VOLUME, "hub_allow_data_loss": "true"}, False),
        (CLOUD, CLOUD, False),
        (VOLUME, VOLUME, False),
        (VOLUME, {**VOLUME, "hub_profile_list": TRIAL}, False),
        ({}, {}, False),
        ({"hub_provider": "local"}, {"hub_provider": "local"}, False),
    ],
)
def test_servers_whose_files_go_are_not_taken_for_safe_by_another_storage(former, variables, is_refused):
    for servers in ({"singleusers": [{"user": "ada", "state": "started"}]}, {"failed": True}):
        said = refusal(**FACTS, **installed(**former), __hub_former_servers=servers, **variables)
        assert ("Have these servers stopped first" in said) is is_refused
        assert ("ada" in said) is (is_refused and "singleusers" in servers)
    stopped = {"singleusers": [{"user": "ada", "state": "stopped"}]}
    assert "stopped first" not in refusal(**FACTS, **installed(**former), __hub_former_servers=stopped, **variables)


def test_a_machine_of_before_there_were_volumes_has_none():
    text = base64.b64encode(b'c.LibcloudSpawner.provider = "openstack"').decode()
    assert "ada" in refusal(
        **FACTS,
        __hub_former_config={"content": text},
        __hub_former_servers={"singleusers": [{"user": "ada", "state": "started"}]},
        **VOLUME,
    )


def test_volumes_are_deleted_only_when_that_is_asked_for():
    (block,) = (task for task in load(ROLES / "hub/tasks/remove_volumes.yml") if "block" in task)
    (delete,) = (task for task in block["block"] if task["name"] == "Delete those that were shown")
    found = {"__hub_volumes": {"stdout": '[{"id": "v-1"}, {"id": "v-2"}]'}, "__hub_check": {"path": "/tmp/check"}}
    assert not templar("hub", **found).evaluate_conditional(delete["when"])
    assert not templar("hub", hub_remove_machines=True, **found).evaluate_conditional(delete["when"])
    asked = templar("hub", hub_remove_volumes=True, **found)
    assert asked.evaluate_conditional(delete["when"])
    assert asked.template(delete["ansible.builtin.command"]["argv"])[-2:] == ["v-1", "v-2"]
    # Without an id, the command would delete all.
    none = {"__hub_volumes": {"stdout": "[]"}}
    assert not templar("hub", hub_remove_volumes=True, **none).evaluate_conditional(delete["when"])


def test_volumes_are_deleted_once_the_hub_that_could_make_some_has_stopped():
    names = [task["name"] for task in load(ROLES / "hub/tasks/remove.yml")]
    volumes = names.index("Look after the volumes of its machines")
    gone = names.index("Remove what the hub was installed from and what it kept")
    assert names.index("Stop the hub and its proxy") < volumes < gone


@pytest.mark.parametrize(
    ("settings", "may_cull"),
    [
        ({"hub_provider": "systemd"}, True),
        ({"hub_provider": "systemd", "hub_storage_type": "none"}, False),
        ({"hub_provider": "openstack"}, False),
        ({"hub_provider": "openstack", "hub_storage_type": "volume"}, True),
        ({"hub_provider": "openstack", "hub_storage_type": "volume", "hub_profile_list": ["none"]}, False),
        ({"hub_provider": "openstack", "hub_storage_type": "volume", "hub_profile_list": ["home"]}, False),
        ({"hub_provider": "openstack", "hub_storage_type": "volume", "hub_profile_list": ["volume"]}, True),
        ({"hub_provider": "systemd", "hub_profile_list": ["home"]}, True),
    ],
    ids=str,
)
def test_servers_may_be_culled_where_files_stay(settings, may_cull):
    profiles = [
        {"display_name": "One", "spawner_override": {"storage_type": kind}}
        for kind in settings.get("hub_profile_list", [])
    ]
    known = templar("hub", **{**settings, "hub_profile_list": profiles})
    assert known.evaluate_conditional(trust_as_template("_hub_may_cull")) is may_cull


def test_servers_whose_files_would_go_are_stopped_only_when_that_is_said():
    words = "Files of users end with their servers"
    assert words in refusal(hub_storage_type="none", hub_cull_enabled=True)
    assert words in refusal(hub_profile_list=TRIAL, hub_cull_enabled="true")
    assert refusal(hub_storage_type="none", hub_cull_enabled=True, hub_allow_data_loss="true") == ""
    assert refusal(hub_storage_type="none", hub_cull_enabled=False) == ""


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"hub_storage_type": "volume"}, "volume is for hub_provider: openstack"),
        ({"hub_storage_capacity": "much"}, "hub_storage_capacity must be a number with K, M, G or T"),
        ({"hub_storage_capacity": "10Gi"}, ""),
    ],
)
def test_storage_that_cannot_be_is_refused(settings, said):
    assert said in refusal(**settings) if said else refusal(**settings) == ""


OAUTH = {"client_id": "a", "authorize_url": "b", "token_url": "c", "userdata_url": "d"}


@pytest.mark.parametrize(
    ("name", "config", "lacking"),
    [
        ("github", {}, "needs client_id and client_secret, which"),
        ("github", {"GoogleOAuthenticator": OAUTH}, "needs client_id,"),
        ("google", {"GoogleOAuthenticator": {"client_id": "a"}}, ""),
        ("google", {"OAuthenticator": {"client_id": "a"}}, ""),
        ("oauth", {"GenericOAuthenticator": {"client_id": "a"}}, "needs authorize_url and token_url and userdata_url,"),
        ("oauth", {"GenericOAuthenticator": OAUTH}, ""),
        ("ldap", {}, "needs the address of the directory"),
        ("ldap", {"LDAPAuthenticator": {"server_address": "ldap.example.org"}}, ""),
    ],
)
def test_an_authenticator_without_what_it_needs_is_refused(name, config, lacking):
    secret = {"OAuthenticator": {"client_secret": "e"}} if config else {}
    said = refusal(hub_authenticator=name, hub_config=config, hub_config_secret=secret)
    assert lacking in said
    assert bool(lacking) == bool(said)


@pytest.mark.parametrize(
    ("name", "class_name"),
    [
        ("oauth", "generic-oauth"),
        ("lti", "ltiauthenticator.lti13.auth.LTI13Authenticator"),
        ("github", "github"),
        ("firstuse", "libcloudspawner.firstuse.FirstUseAuthenticator"),
        ("pam", "libcloudspawner.pam.PAMAuthenticator"),
    ],
)
def test_authenticators_have_short_names(name, class_name):
    assert configuration(SHARED, hub_authenticator=name).JupyterHub.authenticator_class == class_name


def test_groups_and_users_come_in_or_stay_out_as_they_are_named():
    groups = {"hub_allowed_groups": ["class"], "hub_admin_groups": ["staff"]}
    config = configuration(SHARED, hub_authenticator="oauth", hub_blocked_users=["eve"], **groups)
    assert config.OAuthenticator.allowed_groups == {"class"}
    assert config.OAuthenticator.admin_groups == {"staff"}
    assert config.Authenticator.manage_groups
    assert config.Authenticator.blocked_users == {"eve"}
    assert "allow_all" not in config.Authenticator
    assert configuration(SHARED, hub_authenticator="oauth", hub_allow_all=True).Authenticator.allow_all
    assert "eve" in refusal(hub_blocked_users=["eve"], hub_allowed_users=["eve"])


def test_idle_servers_are_culled_by_a_service_that_may_do_nothing_else():
    services = configuration(SECRET, hub_cull_timeout=600).JupyterHub.services
    assert "--timeout=600" in services[1]["command"]
    roles = {role["name"]: role["scopes"] for role in configuration(SHARED).JupyterHub.load_roles}
    assert roles["jupyterhub-idle-culler"] == ["list:users", "read:users:activity", "read:servers", "delete:servers"]
    assert len(configuration(SECRET, hub_cull_enabled=False).JupyterHub.services) == 1
    assert len(configuration(SHARED, hub_cull_enabled=False).JupyterHub.load_roles) == 1


def test_profiles_have_times_of_their_own():
    profiles = [
        {"display_name": "Course", "slug": "course"},
        {"display_name": "Project", "slug": "project", "default": True},
    ]
    known = {"hub_profile_list": profiles, "hub_cull_timeouts": {"project": 14400}}
    (_, culler) = configuration(SECRET, **known).JupyterHub.services
    assert culler["command"][2] == "libcloudspawner.culling"
    assert culler["command"][-2:] == [
        "--ProfileCuller.default_profile=project",
        "--ProfileCuller.profile_timeouts=project=14400",
    ]
    assert refusal(**known) == ""
    assert "hub_cull_timeouts names projet, and" in refusal(**{**known, "hub_cull_timeouts": {"projet": 60}})
    assert "whole seconds" in refusal(**{**known, "hub_cull_timeouts": {"project": "1h"}})


@pytest.mark.parametrize("settings", [{}, {**CLOUD, "hub_allow_data_loss": True}], ids=str)
def test_servers_are_told_of_their_age_as_what_stops_them_is(settings):
    known = {**settings, "hub_cull_max_age": 28800, "hub_cull_notice": 900}
    (_, culler) = configuration(SECRET, **known).JupyterHub.services
    assert "--max-age=28800" in culler["command"]
    assert "--cull-every=600" in culler["command"]
    spawner = configuration(SHARED, **known).LibcloudSpawner
    assert (spawner.max_age, spawner.max_age_notice, spawner.max_age_delay) == (28800, 900, 600)


@pytest.mark.parametrize("settings", [{"hub_cull_max_age": 0}, {"hub_cull_enabled": False}], ids=str)
def test_servers_are_told_nothing_where_none_is_stopped_for_its_age(settings):
    assert "max_age" not in configuration(SHARED, **{"hub_cull_max_age": 28800, **settings}).LibcloudSpawner


def test_requirements_of_ones_own_hold_what_stops_idle_servers():
    own = {"hub_requirements": "/srv/own.txt", "__hub_required": "jupyterhub==6.1.0\n"}
    assert "lacks jupyterhub-idle-culler" in refusal(**own)
    assert refusal(**own, hub_cull_enabled=False) == ""


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"hub_https": "letsencrypt"}, "needs the names that the hub is reached by"),
        ({"hub_https": "manual", "hub_https_hosts": ["hub.example.org"]}, "they must both name a file"),
        ({"hub_subdomain_host": "hub.example.org"}, "It is the address of the hub without a path"),
        ({"hub_name": "physics", "hub_subdomain_host": "https://a.org"}, "which hubs with a hub_name share"),
        ({"hub_subdomain_host": "https://10.0.0.1"}, "and cannot be a number"),
        (
            {"hub_https": "manual", "hub_https_hosts": ["a.org"], "hub_subdomain_host": "https://b.org"},
            "has to be https:// and the first of hub_https_hosts",
        ),
        (
            {"hub_https": "letsencrypt", "hub_https_hosts": ["a.org"], "hub_subdomain_host": "https://a.org"},
            "needs a certificate for *.a.org",
        ),
        ({"hub_https_acme_ca_file": "/no/such/file"}, "the control machine has no such file"),
        ({"__hub_https_ports": {"results": [{"item": 80}, {"item": 443, "msg": "taken"}]}}, "on port 443, which HTTPS"),
    ],
)
def test_https_that_cannot_work_is_refused(variables, words):
    assert words in refusal(**variables)


@pytest.mark.parametrize(
    ("variables", "is_refused"),
    [
        ({"hub_id": ""}, True),
        ({"hub_id": "", "hub_name": "physics", "hub_http_port": 8010}, False),
        ({"hub_id": "", "hub_config": {"LibcloudSpawner": {"hub_id": "physics"}}}, False),
        # What a hub had before that was asked.
        ({"hub_id": "jupyterhub"}, False),
        ({"hub_id": "physics"}, False),
        ({"hub_id": "", "hub_config": {"LibcloudSpawner": {"hub_id": "jupyterhub"}}}, False),
    ],
)
def test_a_hub_whose_machines_are_among_those_of_others_has_to_say_how_it_knows_them(variables, is_refused):
    said = refusal(**{**CLOUD, "hub_storage_type": "volume", **variables})
    assert ("openstack needs a hub_id" in said) is is_refused
    assert is_refused or said == ""


def test_a_hub_does_not_lose_its_machines_by_another_mark():
    def said(former, **variables):
        there = {"__hub_host": {"hubs": [{"hub": "jupyterhub", "hub_id": "jupyterhub"}], "listening": []}}
        return refusal(**installed(**former), **there, **{**CLOUD, "hub_storage_type": "volume", **variables})

    words = "marked by the hub_id jupyterhub, and with physics it would know nothing"
    assert words in said(VOLUME)
    assert "volumes" in said(VOLUME)
    assert said(VOLUME, hub_id="jupyterhub") == ""
    assert said(VOLUME, hub_allow_data_loss="true") == ""
    # The servers of a host are not those of a cloud, whatever marks them.
    assert words not in said({"hub_provider": "systemd"})
    assert words not in said(VOLUME, hub_provider="systemd")
    assert "accounts and homes" in said({"hub_provider": "systemd"}, hub_provider="systemd", hub_storage_type="home")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"hub_id": "Physics_1"}, "digits and single dashes, and is Physics_1"),
        ({"hub_id": "a" * 64}, "at most 63 small letters"),
        ({"hub_id": "a", "hub_config": {"LibcloudSpawner": {"hub_id": "b"}}}, "hub_id is a, and hub_config has b"),
        ({"hub_id": "a", "hub_config": {"LibcloudSpawner": {"hub_id": "a"}}}, ""),
    ],
)
def test_a_mark_that_cannot_be_is_refused(variables, words):
    said = refusal(**variables)
    assert (words in said) if words else said == ""


def test_instances_bear_the_mark_that_the_inventory_gives_them():
    assert configuration(SHARED, **CLOUD).LibcloudSpawner.hub_id == "physics"
    assert (
        configuration(SHARED, **{**CLOUD, "hub_name": "b", "hub_http_port": 8010}).LibcloudSpawner.hub_id == "physics"
    )
    assert value("_hub_note.hub_id", **CLOUD) == "physics"


IMAGES = [{"name": "jupyter", "tag": "auto", "default": True}, {"name": "r", "tag": "77aa"}, {"name": "debian-12"}]


def test_the_image_that_auto_means_is_recorded_and_the_others_stay_as_they_are():
    known = {"hub_userserver_images": IMAGES}
    found = configuration(SHARED, __hub_image_tags={"jupyter": "3f2a", "r": "ffff"}, **known)
    recorded = [{**IMAGES[0], "tag": "3f2a"}, *IMAGES[1:]]
    assert found.LibcloudSpawner.userserver_images == recorded
    # As long as the cloud was not asked.
    assert configuration(SHARED, **known).LibcloudSpawner.userserver_images == IMAGES[1:]


def test_the_image_that_auto_means_is_recorded_in_profiles_and_groups():
    def named(tag):
        override = {"image": f"jupyter-{tag}", "mem_limit": "1G"}
        choices = {"a": {"display_name": "A", "spawner_override": override}}
        option = {"image": {"display_name": "Image", "choices": choices}}
        profile = {"display_name": "jupyter-auto", "spawner_override": override, "profile_options": option}
        return {
            "hub_profile_list": [profile],
            "hub_group_overrides": {"x": {"groups": ["x"], "spawner_override": override}},
        }

    found = configuration(SHARED, __hub_image_tags={"jupyter": "3f2a"}, **named("auto")).LibcloudSpawner
    assert found.profile_list == named("3f2a")["hub_profile_list"]
    assert found.group_overrides == named("3f2a")["hub_group_overrides"]


@pytest.mark.parametrize("tag", ["latest", ""])
def test_a_tag_that_says_nothing_is_refused(tag):
    said = refusal(**CLOUD, hub_userserver_images=[{"name": "jupyter", "tag": tag}])
    assert "for jupyter. That does not say which image it is" in said
    assert refusal(**CLOUD, hub_cull_enabled=False, hub_userserver_images=IMAGES) == ""


def test_an_environment_of_a_node_has_no_tag():
    image = {"name": "default", "tag": "auto"}
    assert "Tags are for images of a cloud" in refusal(hub_provider="systemd", hub_userserver_images=[image])


def refusal_of_certificate(path, key):
    hosts = ["hub.example.org"]
    https = {"hub_https": "manual", "hub_https_hosts": hosts, "hub_https_certificate": path, "hub_https_key": key}
    # No filter of the collection is there without Ansible itself.
    return refusal(**https, __hub_certificate=certificate(path, key, hosts))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({}, ""),
        ({"days": 3}, ""),
        ({"days": -1}, "and not now. Get a new one"),
        ({"starts_in": 2}, "and not now. Get a new one"),
        ({"name": "other.example.org"}, "is for other.example.org, and not for hub.example.org"),
        ({"name": "other.example.org", "also": "*.example.org"}, ""),
    ],
)
def test_a_certificate_that_browsers_would_refuse_is_refused_and_a_self_signed_one_is_not(made, words, tmp_path):
    said = refusal_of_certificate(*self_signed(tmp_path, **made))
    assert (words in said) if words else said == ""


def test_a_certificate_with_the_key_of_another_is_refused(tmp_path):
    own, _ = self_signed(tmp_path)
    _, key = self_signed(tmp_path, "other")
    assert "is the key of another certificate" in refusal_of_certificate(own, key)
    assert "is no key in PEM" in refusal_of_certificate(own, own)


PHYSICS = {"hub_name": "physics", "hub_base_url": "/physics/", "hub_http_port": 8010}


def value(expression, **variables):
    return templar("hub", **variables).template(trust_as_template(f"{{{{ {expression} }}}}"))


def test_all_that_a_named_hub_has_on_its_host_bears_its_name():
    config = configuration(SHARED, **PHYSICS)
    config.merge(configuration(SECRET, **PHYSICS))
    assert config.LibcloudSpawner.hub_id == "jupyterhub-physics"
    assert config.LibcloudSpawner.control_socket == "/run/jupyterhub-physics-singleuserctl.sock"
    assert config.LibcloudSpawner.username_template == "physics-{USERNAME}"
    assert config.JupyterHub.db_url == "sqlite:////var/lib/jupyterhub-physics/jupyterhub.sqlite"
    assert config.JupyterHub.bind_url == "http://:8010/physics/"
    assert config.JupyterHub.hub_connect_url == config.JupyterHub.hub_bind_url == "http://127.0.0.1:8091"
    assert config.ConfigurableHTTPProxy.api_url == "http://127.0.0.1:8011"
    for name, folder in (("_hub_etc", "/etc"), ("_hub_root", "/opt"), ("hub_backup_folder", "/var/backups")):
        assert value(name, **PHYSICS) == f"{folder}/jupyterhub-physics"
    assert "--name=jupyterhub-physics" in value("_hub_backup_command | join(' ')", **PHYSICS)
    assert refusal(**PHYSICS) == ""


def test_a_hub_without_a_name_has_the_names_and_ports_that_it_always_had():
    public = configuration(SHARED, hub_http_port=80)
    assert "hub_id" not in public.LibcloudSpawner
    assert "control_socket" not in public.LibcloudSpawner
    assert public.LibcloudSpawner.username_template == "jupyter-{USERNAME}"
    assert public.JupyterHub.hub_bind_url == "http://127.0.0.1:8081"
    assert public.ConfigurableHTTPProxy.api_url == "http://127.0.0.1:8001"
    assert value("hub_backup_folder") == "/var/backups/jupyterhub"
    assert value("hub_pam_service") == "jupyterhub"


CHEMISTRY = {"hub_name": "chemistry", "hub_base_url": "/chemistry/", "hub_http_port": 8020}
HTTPS = {"hub_https": "letsencrypt", "hub_https_hosts": ["hub.example.org"]}


def conflicts(own, *others, **further):
    """What preflight says of a hub with these variables where there are hubs with those of the others."""
    noted = [{"is_noted": True, **value("_hub_note", **other)} for other in others]
    return "\n".join(hub_conflicts(value("_hub_note", **own), [{**one, **further} for one in noted], "hub"))


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, ""),
        (HTTPS, ""),
        (
            {"hub_http_port": 8020},
            "jupyterhub-physics wants ports that other hubs of hub have: jupyterhub-chemistry has 8020",
        ),
        ({"hub_connect_url": "http://127.0.0.1:8021"}, "jupyterhub-chemistry has 8021"),
        ({"hub_http_port": 8101}, "jupyterhub-chemistry has 8101"),
        ({"hub_base_url": "/chemistry/"}, "wants the hub_base_url /chemistry/ of jupyterhub-chemistry"),
        ({"hub_base_url": "/"}, "wants the hub_base_url /, and jupyterhub-chemistry on hub has /chemistry/"),
        ({"hub_base_url": "/chemistry/labs/"}, "and jupyterhub-chemistry on hub has /chemistry/"),
        ({"hub_base_url": "/chem/"}, ""),
        ({**HTTPS, "hub_https_hosts": ["other.example.org"]}, "and another hub of hub has hub.example.org"),
        ({**HTTPS, "hub_https_hosts": ["hub.example.org", "www.example.org"]}, "Set the same hub_https and"),
        ({**HTTPS, "hub_https": "manual"}, "by hub_https: letsencrypt, as jupyterhub-chemistry was told"),
        ({"hub_https_hosts": ["other.example.org"]}, ""),
        ({**HTTPS, "hub_name": ""}, "Hubs that have a hub_name share it, and not with a hub that has none"),
        ({"hub_config": {"LibcloudSpawner": {"hub_id": "jupyterhub-chemistry"}}}, "wants the hub_id jupyterhub-chem"),
        ({"hub_id": "jupyterhub-chemistry"}, "wants the hub_id jupyterhub-chem"),
        ({"hub_db_url": "sqlite:////var/lib/jupyterhub-chemistry/jupyterhub.sqlite"}, "wants the database sqlite:///"),
    ],
)
def test_what_another_hub_of_the_host_has_is_refused_by_both_names(variables, words):
    said = conflicts({**PHYSICS, **variables}, {**CHEMISTRY, **HTTPS})
    assert (words in said) if words else said == ""
    assert conflicts({**PHYSICS, **variables}, {**PHYSICS, **variables}) == ""


@pytest.mark.parametrize(
    ("own", "other", "is_refused"),
    [
        ("postgresql://a:secret/2@db/hub", "postgresql+psycopg://b@db/hub?sslmode=require", True),
        ("postgresql:///hub?host=/run/postgresql", "postgresql:///hub?sslmode=no&host=/run/postgresql", True),
        ("postgresql:///hub?host=db1", "postgresql:///hub?host=db2", False),
        ("postgresql://db/hub", "postgresql://db/lab", False),
        ("sqlite://", "sqlite://", False),
        ("sqlite:///users.sqlite", "sqlite:///users.sqlite", False),
    ],
)
def test_two_hubs_keep_their_users_in_two_databases(own, other, is_refused):
    said = conflicts({**PHYSICS, "hub_db_url": own}, {**CHEMISTRY, "hub_db_url": other})
    assert ("Set another hub_db_url" in said) == is_refused
    assert "secret" not in said
    assert "secret" not in json.dumps(value("_hub_note", hub_db_url=own))


def test_a_database_is_told_apart_without_account_and_password():
    def place(url):
        return value("_hub_note", hub_db_url=url)["database"]

    assert place("postgresql+psycopg://hub:hunter/2@db:5433/hub?sslmode=require") == "postgresql://db:5433/hub"
    assert place("postgresql:///hub?password=hunter&host=/run/pg") == "postgresql:///hub?host=/run/pg"
    assert place("postgresql://?dbname=hub&user=me&port=5433&host=db") == "postgresql://?dbname=hub?port=5433?host=db"
    for password in ("hun?ter", "hun@ter", "h/u@nter", "hun&host=ter"):
        assert place(f"postgresql+psycopg://hub:{password}@db/hub") == "postgresql://db/hub"
    assert place("sqlite:////srv/a@b.sqlite") == "sqlite:////srv/a@b.sqlite"


def test_a_hub_that_noted_nothing_is_set_up_by_this_version_first():
    assert "Run the playbook site of this version with its inventory first" in conflicts(
        PHYSICS, CHEMISTRY, is_noted=False
    )


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({}, "http://127.0.0.1:8081/hub/api"),
        (PHYSICS, "http://127.0.0.1:8091/physics/hub/api"),
        ({"hub_connect_url": "https://hub.example.org"}, "http://127.0.0.1:8081/hub/api"),
        ({"hub_api_address": "::"}, "http://127.0.0.1:8081/hub/api"),
        ({"hub_connect_url": "http://10.0.0.1:9000", "hub_api_address": "10.0.0.1"}, "http://10.0.0.1:9000/hub/api"),
    ],
)
def test_the_modules_are_told_where_the_hub_listens(variables, url):
    assert value("_hub_note", **variables)["api_url"] == url


def test_preflight_says_what_another_hub_has():
    assert refusal(__hub_conflicts=["One.", "Two."]) == "One.\n- Two."


@pytest.mark.parametrize(
    ("listening", "state", "noted", "words"),
    [
        ([8011], "inactive", [], "listens on port 8011 already"),
        ([8091], "inactive", [], "listens on port 8091 already"),
        ([8011, 8091], "failed", [{"hub": "jupyterhub-physics", "ports": [8010, 8011, 8091]}], "port 8011 and 8091"),
        ([8011, 8091], "active", [{"hub": "jupyterhub-physics", "ports": [8010, 8011, 8091]}], ""),
        ([8011, 8091], "active", [{"hub": "jupyterhub-physics", "ports": [8000, 8001, 8081]}], "port 8011 and 8091"),
        # One that a former version set up.
        ([8011, 8091], "active", [], ""),
        ([8000, 8001, 8081], "inactive", [], ""),
    ],
)
def test_no_port_of_a_hub_is_one_that_something_else_listens_on(listening, state, noted, words):
    found = {"__hub_host": {"hubs": noted, "listening": listening}, "__hub_is_active": {"stdout": state}}
    said = refusal(**PHYSICS, **found)
    assert (words in said) if words else said == ""


@pytest.mark.parametrize(
    ("ports", "words"),
    [
        ({"hub_http_port": 20000}, "has the port 20000 and the port 20001 and the port 20081, which"),
        ({"hub_http_port": 19999}, "has the port 20000 and the port 20080, which"),
        (
            {"hub_http_port": 8010, "node_port_first": 8090, "node_port_last": 8099},
            "has the port 8091, which servers may",
        ),
        ({"hub_http_port": 20000, "node_port_first": 30000, "node_port_last": 30099}, ""),
    ],
)
def test_no_port_of_a_hub_is_one_that_a_server_may_get(ports, words):
    here = {"inventory_hostname": "hub", "groups": {"nodes": ["hub"]}}
    said = refusal(**{**PHYSICS, **ports}, **here)
    assert (words in said) if words else said == ""
    assert refusal(**{**PHYSICS, **ports}) == ""


def test_no_port_of_a_hub_is_one_that_a_server_of_another_may_get():
    node = {"port_first": 8090, "port_last": 8099}
    assert "has the port 8091, which servers of jupyterhub-chemistry may get" in conflicts(PHYSICS, CHEMISTRY, **node)


def test_what_a_named_hub_is_told_of_mirrors_and_registries_is_its_own_and_goes_with_it():
    told = ("_environment_ca", "_environment_registries", "_environment_apt_sources", "_environment_apt_lists")
    known = {"environment_ca_file": "/srv/ca.crt"}
    named = templar("environment", hub_name="physics", **known)
    unnamed = templar("environment", **known)
    folder = named.template(trust_as_template("{{ _environment_told }}"))
    for name in told:
        expression = trust_as_template(f"{{{{ {name} }}}}")
        assert named.template(expression).startswith(f"{folder}/")
        assert "physics" not in unnamed.template(expression)
    assert (
        unnamed.template(trust_as_template("{{ _environment_registries }}")) == "/var/lib/jupyterhub-uv/registries.json"
    )
    for role, name in (("hub", "_hub_told"), ("node", "_node_told")):
        found = templar(role, hub_name="physics").template(trust_as_template(f"{{{{ {name} }}}}"))
        assert found == [folder]
        assert templar(role).template(trust_as_template(f"{{{{ {name} }}}}")) == []
        (task,) = (
            task
            for task in load(ROLES / role / "tasks/remove.yml")
            if name in str(task.get("loop")) and "ansible.builtin.file" in task
        )
        assert task["ansible.builtin.file"]["state"] == "absent"


def done(tasks, known):
    """The names of the tasks that are not skipped."""
    for task in tasks:
        wanted = task.get("when", [])
        if all(map(known.evaluate_conditional, wanted if isinstance(wanted, list) else [wanted])):
            yield task["name"]
            yield from done(task.get("block", []), known)


@pytest.mark.parametrize(
    ("name", "spoken", "others", "names"),
    [
        # Whatever there is of it, as after a run that was broken off.
        ("", False, None, {"Remove what it had for itself", "Stop Caddy", "Remove what it needed"}),
        ("", True, None, {"Remove what it had for itself", "Stop Caddy", "Remove what it needed"}),
        ("", False, 2, {"Remove what it had for itself"}),
        ("physics", False, 0, set()),
        ("physics", True, 0, {"Stop Caddy", "Remove what it needed"}),
        ("physics", True, 1, {"Remove what leads to it", "Restart Caddy"}),
    ],
)
def test_https_goes_with_the_hub_that_it_is_spoken_for_alone(name, spoken, others, names):
    found = {
        "__hub_https": {"stat": {"exists": spoken}},
        "__hub_https_others": {"matched": others},
        "__hub_https_of_others": {"stat": {"exists": others is not None}},
        "__hub_https_unit": {"stat": {"exists": True}},
    }
    known = templar("hub", hub_name=name, **found)
    acting = {name for name in done(load(ROLES / "hub/tasks/remove_https.yml"), known) if name.split()[0] != "Look"}
    assert acting - {"Have nobody speak HTTPS", "Let Caddy forget this hub alone"} == names


def test_what_a_hub_without_a_name_has_for_https_is_all_its_own():
    assert value("_hub_https_files") == [
        "/etc/jupyterhub/secrets/https.crt",
        "/etc/jupyterhub/secrets/https.key",
        "/etc/jupyterhub/https-acme-ca.crt",
        "/etc/jupyterhub/Caddyfile",
    ]
    assert value("_hub_https_files", **PHYSICS) == ["/etc/jupyterhub-https"]


MISNAMED = [
    "Physics",
    "physics-2",
    "2physics",
    "p" * 13,
    "proxy",
    "uv",
    "jupyter",
    "jupyterhub",
    "systemd",
    "singleuser",
]


@pytest.mark.parametrize("name", MISNAMED)
def test_a_name_that_others_could_be_taken_for_is_refused(name):
    assert "hub_name must be at most 12 small letters and digits" in refusal_of_host({}, "", hub_name=name)


@pytest.mark.parametrize(("role", "file"), [("hub", "remove"), ("hub", "restore"), ("node", "remove")])
@pytest.mark.parametrize("name", MISNAMED)
def test_nothing_is_removed_or_restored_by_a_name_that_others_could_be_taken_for(name, role, file):
    first = load(ROLES / role / "tasks" / f"{file}.yml")[0]
    assert first["ansible.builtin.import_role"] == {
        "name": "libcloudspawner.jupyterhub.environment",
        "tasks_from": "name",
    }
    (task,) = load(ROLES / "environment/tasks/name.yml")
    check = task["ansible.builtin.assert"]
    known = templar("environment", hub_name=name)
    assert not all(map(known.evaluate_conditional, check["that"]))
    assert known.template(check["fail_msg"]).endswith(f"but is {name}. Nothing was changed.")
    for good in ({"hub_name": "physics"}, {"hub_name": ""}, {}):
        assert all(map(templar("environment", **good).evaluate_conditional, check["that"]))


def test_a_teardown_by_a_name_that_nothing_has_is_refused_before_anything_is_removed():
    (play,) = load(ROOT / "playbooks/teardown.yml")
    names = [task["name"] for task in play["tasks"]]
    assert names.index("Refuse to remove a hub that is not there") < names.index("Remove the hub")
    (task,) = (task for task in play["tasks"] if task["name"] == "Refuse to remove a hub that is not there")
    found = {"hub_name": "physik", "inventory_hostname": "hub", "named": {"matched": 0}}
    check = task["ansible.builtin.assert"]
    assert not templar("hub", **found).evaluate_conditional(check["that"][0])
    assert "hub has nothing of a hub named physik." in templar("hub", **found).template(check["fail_msg"])
    assert templar("hub", **{**found, "named": {"matched": 1}}).evaluate_conditional(check["that"][0])


def test_a_name_whose_group_the_users_of_another_hub_have_is_refused():
    noted = "/var/lib/jupyterhub-singleuser/made-shared:group jupyterhub-physics"
    assert "is that of a folder that users of another hub share" in refusal_of_host({}, noted, hub_name="physics")
    assert refusal_of_host({}, "", hub_name="physics") == ""
