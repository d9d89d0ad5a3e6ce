# SPDX-License-Identifier: BSD-3-Clause
"""What is copied into homes before a server starts, by node_home_data of molecule/default."""

from __future__ import annotations

import pytest

HOME = "/home/jupyter-ida"


@pytest.fixture
def handed_out(host):
    host.check_output("mkdir -p /srv/handed-out && echo first >/srv/handed-out/table.csv")
    yield "/srv/handed-out"
    host.check_output("rm -rf /srv/handed-out")


@pytest.fixture
def start(hub, drop_in):
    """Start anew, with the files of the course."""
    drop_in("c.LibcloudSpawner.userserver_images = [{'name': 'default'}, {'name': 'course'}]")

    started = []

    def start(environment="course"):
        stop()
        hub.start("ida", userserver_image=environment)
        started.append(environment)
        return hub.terminal("ida")

    def stop():
        if started:
            hub.stop("ida")
            started.clear()

    yield start
    stop()


def log(host):
    return host.check_output("journalctl --no-pager --output=cat --unit=jupyterhub-singleuser@ida")


def test_files_come_into_the_home_and_what_a_user_changed_stays(hub, host, start, handed_out):
    terminal = start()
    assert terminal.run("cat lessons/lesson.txt data/table.csv") == "six times seven\nfirst"
    assert terminal.run("echo mine >lessons/lesson.txt && rm data/table.csv && echo done") == "done"
    host.check_output("echo corrected >%s/table.csv && echo new >%s/more.csv", handed_out, handed_out)
    terminal = start()
    assert terminal.run("cat lessons/lesson.txt data/table.csv data/more.csv") == "mine\ncorrected\nnew"
    assert host.file(f"{HOME}/data/table.csv").user == "jupyter-ida"


def test_a_user_fetches_a_fresh_copy_by_a_command(hub, start, handed_out):
    terminal = start()
    assert terminal.run("rm -r lessons && jupyterhub-home-data && cat lessons/lesson.txt") == "six times seven"


def test_servers_of_another_environment_get_none_of_it(hub, host, start, handed_out):
    host.check_output("rm -rf %s/lessons %s/data", HOME, HOME)
    terminal = start("default")
    assert "No such file" in terminal.run("ls lessons data")


def test_a_source_that_is_gone_stands_in_the_log_of_the_server(host, start):
    terminal = start()
    assert terminal.run("cat lessons/lesson.txt") == "six times seven"
    assert "/srv/handed-out is not there any more. Your data stays as it is" in log(host)


def test_a_home_without_room_keeps_what_is_in_it_and_the_server_starts(hub, host, start, handed_out):
    assert start().run("echo mine >data/table.csv; cat data/table.csv") == "mine"
    hub.stop("ida")
    host.check_output("head -c 3M /dev/zero >%s/large.bin", handed_out)
    host.check_output(
        "mount -t tmpfs -o size=2M,mode=700,uid=$(id -u jupyter-ida),gid=$(id -g jupyter-ida) tmpfs %s", HOME
    )
    try:
        terminal = start()
        assert terminal.run("cat lessons/lesson.txt; ls -A data") == "six times seven\ntable.csv"
        assert "There is no room left in your home for all of /srv/handed-out" in log(host)
        hub.stop("ida")
    finally:
        host.check_output("umount %s", HOME)
    terminal = start()
    assert terminal.run("cat data/table.csv; stat -c %s data/large.bin") == "mine\n3145728"
