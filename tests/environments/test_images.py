# SPDX-License-Identifier: BSD-3-Clause
"""Servers in containers: of an image that a registry holds, and of one that a Dockerfile says."""

from __future__ import annotations

import pytest
import yaml
from repositories import ENVIRONMENTS, write

PODMAN = "/opt/jupyterhub-singleuser/podman"
REGISTRY = "registry.test:5000"
BASE = f"{REGISTRY}/debian:12"
NONE = f"{REGISTRY}/jupyter/none:1"
LAB = f"{REGISTRY}/jupyter/lab:2026-11"
SIGN_IN = [{"name": REGISTRY, "username": "reader", "password": "open-the-store"}]
DOCKERFILE = f"""
FROM {BASE}
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt
RUN python3 -m venv /opt/lab && /opt/lab/bin/pip install --quiet jupyterhub==6.1.1 jupyterlab
ENV PATH=/opt/lab/bin:$PATH KIND="of an image"
COPY lesson.txt /lesson.txt
RUN mkdir --mode=777 /outputs
VOLUME /outputs
USER nobody
WORKDIR /outputs
STOPSIGNAL SIGKILL
ENTRYPOINT ["env", "ENTERED=yes"]
CMD ["false"]
"""
SET_UP = f"""
set -e
DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends docker-registry apache2-utils >&2
mkdir -p /srv/registry
cd /srv/registry
grep -q registry.test /etc/hosts || echo 127.0.0.1 registry.test >>/etc/hosts
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=registry.test -addext subjectAltName=DNS:registry.test \\
  -keyout key.pem -out /usr/local/share/ca-certificates/registry.test.crt 2>&1
update-ca-certificates --fresh >&2
htpasswd -Bbn reader open-the-store >people
cat >config.yml <<END
version: 0.1
storage: {{filesystem: {{rootdirectory: /srv/registry/store}}}}
auth: {{htpasswd: {{realm: tests, path: /srv/registry/people}}}}
http:
  addr: 127.0.0.1:5000
  tls: {{certificate: /usr/local/share/ca-certificates/registry.test.crt, key: /srv/registry/key.pem}}
END
systemctl disable --now docker-registry
systemctl stop registry 2>/dev/null || true
systemd-run --quiet --unit registry docker-registry serve /srv/registry/config.yml
tar --create --one-file-system --directory=/ --exclude=./opt --exclude=./srv --exclude=./home --exclude=./var/cache \\
  --exclude=./var/tmp --exclude='./var/lib/jupyterhub*' . | {PODMAN} import - {BASE}
printf open-the-store | {PODMAN} login --username reader --password-stdin --authfile /srv/registry/auth {REGISTRY}
{PODMAN} push --quiet --authfile /srv/registry/auth {BASE}
{PODMAN} image rm {BASE}
"""


def with_images(folder, *more, **settings):
    listed = [{"name": "default"}, {"name": "built", "repository": str(folder / "built")}, *more]
    return {"node_environments": listed, "environment_registries": SIGN_IN, **settings}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    write(folder / "built", {"Dockerfile": DOCKERFILE, "lesson.txt": "one\n", "requirements.txt": "not-looked-at\n"})
    return folder


@pytest.fixture(scope="module")
def refusal(play):
    """What the playbook says of an image that no registry holds; from then on Podman is there."""
    done = play("--tags", "node_install", node_environments=[{"name": "default"}, {"name": "none", "image": NONE}])
    assert done.returncode != 0
    return done.stdout


@pytest.fixture(scope="module")
def built(host, play, folder, refusal):
    host.check_output("sh -c %s", SET_UP)
    done = play("--tags", "node_install,node_configure", **with_images(folder))
    assert done.returncode == 0, done.stdout[-6000:]
    yield done.stdout
    restored = play("--tags", "node_install,node_configure", node_environments_kept=0)
    assert restored.returncode == 0, restored.stdout[-6000:]
    assert host.check_output(f"{PODMAN} images --quiet") == ""


@pytest.fixture(scope="module")
def pulled(host, play, folder, built):
    """The image that was built, pushed under the name of the environment ``lab``, and gone from the node."""
    image = host.check_output(f"{PODMAN} images --quiet localhost/jupyterhub-singleuser/built")
    host.check_output(f"{PODMAN} tag {image} {LAB}")
    host.check_output(f"{PODMAN} push --quiet --authfile /srv/registry/auth {LAB}")
    host.check_output(f"{PODMAN} image rm {LAB}")
    done = play("--tags", "node_install", **with_images(folder, {"name": "lab", "image": LAB}))
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


@pytest.fixture
def offered(drop_in):
    drop_in("c.LibcloudSpawner.userserver_images = [{'name': 'default'}, {'name': 'built'}, {'name': 'lab'}]")


@pytest.fixture
def student(hub):
    yield "ada"
    hub.stop("ada")


def test_an_image_that_cannot_be_pulled_is_not_offered(refusal, host):
    assert f"The image {NONE} cannot be pulled" in refusal
    assert "none" not in host.check_output("ls %s", ENVIRONMENTS).split()


def test_a_server_runs_in_an_image_of_a_dockerfile(built, offered, hub, student):
    hub.start(student, userserver_image="built")
    kernel = hub.kernel(student)
    assert kernel.run("import os, sys; sys.prefix, os.environ['KIND']") == "('/opt/lab', 'of an image')"
    assert kernel.run("open('/lesson.txt').read()") == "'one\\n'"


def test_a_container_has_the_users_account_their_home_and_nothing_more(built, offered, hub, student, host):
    hub.start(student, userserver_image="built")
    kernel = hub.kernel(student)
    uid = host.check_output("id -u jupyter-ada")
    assert kernel.run("import os; os.getuid(), os.getcwd(), os.environ['HOME']") == (
        f"({uid}, '/home/jupyter-ada', '/home/jupyter-ada')"
    )
    status = kernel.run("print(open('/proc/self/status').read())")
    for line in ("CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"):
        assert line in status
    assert "Read-only file system" in kernel.run("open('/opt/lab/here', 'w')")
    unshare = "import ctypes; ctypes.CDLL(None).unshare(0x10000000)"
    assert kernel.run(unshare) == "-1", "a user namespace can be made"
    assert kernel.run("os.listdir('/home'), os.path.exists('/srv/registry')") == "(['jupyter-ada'], False)"
    assert kernel.run("open('kept', 'w').write('a')") == "1"
    assert host.file("/home/jupyter-ada/kept").user == "jupyter-ada"


def test_the_entry_point_of_an_image_starts_the_server_and_its_user_and_folders_do_not_count(
    built, offered, hub, student, host
):
    hub.start(student, userserver_image="built")
    kernel = hub.kernel(student)
    assert kernel.run("import os; os.environ['ENTERED']") == "'yes'"
    assert kernel.run("os.path.ismount('/outputs'), os.getcwd()") == "(False, '/home/jupyter-ada')"
    assert "Read-only file system" in kernel.run("open('/outputs/here', 'w')")
    assert host.check_output(f"{PODMAN} volume ls --quiet") == ""


def test_what_a_user_installs_into_an_image_stays_in_their_home(built, offered, hub, student):
    hub.start(student, userserver_image="built")
    kernel = hub.kernel(student)
    assert kernel.run("import os; os.environ['PYTHONUSERBASE']") == "'/home/jupyter-ada/.local/environments/built'"


def test_the_limits_of_a_unit_hold_within_its_container(built, offered, hub, student, host):
    hub.start(student, userserver_image="built", userserver_size="small")
    kernel = hub.kernel(student)
    assert "jupyterhub-singleuser@ada.service" in kernel.run("print(open('/proc/self/cgroup').read())")
    assert "(kernel died)" in kernel.run("x = bytearray(600 * 1024**2)")
    assert hub.server(student)["ready"]
    assert host.check_output("systemctl show --property=MemoryMax --value jupyterhub-singleuser@ada") == str(
        512 * 1024**2
    )


def test_the_token_is_in_no_command_line_and_nobody_talks_to_a_kernel_by_a_port(built, offered, hub, student, host):
    hub.start(student, userserver_image="built")
    hub.kernel(student).run("1")
    environment = host.check_output("cat /etc/jupyterhub-singleuser/ada.env")
    token = next(line for line in environment.splitlines() if line.startswith("JUPYTERHUB_API_TOKEN=")).partition("=")[
        2
    ]
    assert len(token) > 20
    assert token not in host.check_output("ps -ef ww; systemctl cat jupyterhub-singleuser@ada")
    assert host.file("/etc/jupyterhub-singleuser/ada.env").mode == 0o400
    uid = host.check_output("id -u jupyter-ada")
    sockets = host.check_output("ss --listening --tcp --no-header --numeric --extended").splitlines()
    # The server's own, and where the kernel's child processes write their output to.
    assert len([line for line in sockets if f"uid:{uid} " in f"{line} "]) == 2, sockets


def test_a_stopped_server_leaves_no_container(built, offered, hub, host):
    hub.start("bob", userserver_image="built")
    assert host.check_output(f"{PODMAN} ps --format '{{{{.Names}}}}'") == "singleuser-bob"
    hub.stop("bob")
    assert host.check_output(f"{PODMAN} ps --all --quiet") == ""


def test_a_server_whose_container_was_killed_starts_again(built, offered, hub, student, host):
    hub.start(student, userserver_image="built")
    host.check_output("systemctl kill --signal=KILL jupyterhub-singleuser@ada")
    hub.wait_for(student, ready=False)
    hub.start(student, userserver_image="built")
    assert hub.kernel(student).run("1 + 1") == "2"


def test_an_image_of_a_registry_is_pulled_when_the_node_is_set_up(pulled, offered, hub, student, host):
    note = host.check_output("cat %s/lab/container.json", ENVIRONMENTS)
    assert f'"reference": "{REGISTRY}/jupyter/lab@sha256:' in note
    hub.start(student, userserver_image="lab")
    assert hub.kernel(student).run("import os; os.environ['KIND']") == "'of an image'"


def test_the_password_of_a_registry_is_in_no_output_and_for_root_alone(pulled, host):
    assert SIGN_IN[0]["password"] not in pulled
    assert host.file("/var/lib/jupyterhub-uv/registries.json").mode == 0o600


def test_an_image_that_a_node_has_lost_is_pulled_at_the_start_which_the_page_says(pulled, offered, hub, student, host):
    host.check_output(f"{PODMAN} image rm --all --force")
    hub.request_start(student, userserver_image="lab")
    progress = hub.call("GET", f"/users/{student}/server/progress").text
    assert f"Pulling the image {REGISTRY}/jupyter/lab@sha256:" in progress
    hub.wait_for(student, ready=True)
    assert hub.kernel(student).run("1 + 1") == "2"


def test_what_is_unchanged_is_not_pulled_again(pulled, play, folder):
    again = play("--tags", "node_install", **with_images(folder, {"name": "lab", "image": LAB}))
    assert again.returncode == 0, again.stdout[-6000:]
    assert "changed=0" in again.stdout


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"image": f"{REGISTRY}/jupyter/lab"}, "images that may be others each day"),
        ({"image": f"{REGISTRY}/jupyter/lab:latest"}, "images that may be others each day"),
        ({"image": BASE}, "holds no python3 and jupyterhub-singleuser"),
        ({"dockerfile": f"FROM {REGISTRY}/debian\n"}, "Name its tag or digest"),
        ({"dockerfile": f"FROM {BASE}\nRUN echo far away && false\n"}, "The Dockerfile cannot be built"),
    ],
)
def test_what_is_no_image_for_servers_is_refused_and_the_others_stay(
    pulled, play, folder, host, tmp_path, environment, said
):
    before = host.check_output("ls %s", ENVIRONMENTS)
    if text := environment.pop("dockerfile", None):
        environment["repository"] = str(write(tmp_path / "broken", {"Dockerfile": text}))
    done = play("--tags", "node_install", **with_images(folder, {"name": "broken", **environment}))
    assert done.returncode != 0
    assert said in " ".join(done.stdout.split())
    assert host.check_output("ls %s", ENVIRONMENTS) == before


def test_a_wrong_password_of_a_registry_is_told(pulled, play, folder):
    wrong = [{**SIGN_IN[0], "password": "guess"}]
    settings = with_images(folder, {"name": "other", "image": f"{REGISTRY}/jupyter/other:1"})
    done = play("--tags", "node_install", **{**settings, "environment_registries": wrong})
    assert done.returncode != 0
    assert "cannot be pulled" in done.stdout
    assert "unauthorized" in done.stdout or "authentication required" in done.stdout


def test_hooks_shared_folders_and_data_reach_a_container(pulled, offered, play, folder, hub, student, host):
    host.check_output("mkdir -p /srv/handed-out && echo two >/srv/handed-out/sheet")
    settings = with_images(
        folder,
        {"name": "lab", "image": LAB},
        node_home_data=[{"source": "/srv/handed-out", "destination": "sheets"}],
        node_shared_folders=[{"name": "everybody", "groups": [], "write_groups": ["*"]}],
        node_hooks=[
            {"name": "greet", "when": "before_start", "command": "echo hello $KIND >greeting"},
            {"name": "save", "when": "before_stop", "command": "id -u >saved"},
        ],
    )
    done = play("--tags", "node_install,node_configure", **settings)
    assert done.returncode == 0, done.stdout[-6000:]
    hub.start(student, userserver_image="lab")
    kernel = hub.kernel(student)
    assert kernel.run("open('sheets/sheet').read(), open('greeting').read()") == "('two\\n', 'hello of an image\\n')"
    assert kernel.run("open('/srv/shared/everybody/note', 'w').write('a')") == "1"
    hub.stop(student)
    uid = host.check_output("id -u jupyter-ada")
    assert host.check_output("cat /home/jupyter-ada/saved; stat --format=%u /home/jupyter-ada/saved") == f"{uid}\n{uid}"
    assert yaml.safe_load(host.check_output("cat %s/lab/container.json", ENVIRONMENTS))["version"] in ("3.11", "3.13")
