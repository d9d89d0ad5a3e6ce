# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import asyncio
import json
import logging
import time
from datetime import datetime
from types import SimpleNamespace

import fakes
import pytest
from fakes import FakeProvider, eventually
from jupyterhub import orm
from jupyterhub.objects import Hub
from jupyterhub.spawner import SpawnException
from libcloudspawner import fleet as fleet_module
from libcloudspawner import spawner as spawner_module
from libcloudspawner.errors import StartRefused
from libcloudspawner.fleet import Fleet
from libcloudspawner.form import FILES_END, SOME_FILES_END
from libcloudspawner.providers.base import Limits, OutcomeUnknown, ProviderError, ProviderUnreachable, State
from libcloudspawner.spawner import LibcloudSpawner
from prometheus_client import REGISTRY
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from tornado.web import HTTPError
from traitlets import TraitError

SIZES = [
    {"name": "small", "mem_limit": "512M", "cpu_limit": 0.5},
    {"name": "large", "mem_limit": "4G", "cpu_limit": 2, "tasks_limit": 300, "default": True},
    {"name": "plain"},
]
IMAGES = [("Python", "default"), ("R", "r")]
NO_FILES = {"display_name": "Exam", "spawner_override": {"storage_type": "none"}}
TOKEN = "a-token-that-nobody-may-see"
RUNNING_AT = orm.Server(base_url="/user/alice/", proto="http", ip="127.0.0.1", port=1, cookie_name="alice")


@pytest.fixture
def provider():
    provider = FakeProvider()
    yield provider
    provider.close()


@pytest.fixture
def fleet(provider, monkeypatch):
    monkeypatch.setattr(fleet_module, "_DESTROY_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(fleet_module, "_PROBE_SECONDS", 0.01)
    monkeypatch.setattr(Fleet.find, "__defaults__", (0.0,))
    monkeypatch.setattr(fleet_module, "_ADOPT_SECONDS", 0.01)
    fleet = Fleet(provider)
    monkeypatch.setattr(spawner_module, "_fleet_of", lambda provider, settings: fleet)
    return fleet


@pytest.fixture
def new_spawner(fleet):
    def new_spawner(user="alice", server="", user_options=None, **settings):
        return LibcloudSpawner(
            user=fakes.user(user),
            hub=Hub(),
            orm_spawner=SimpleNamespace(name=server, server=None, user_options=user_options),
            api_token=TOKEN,
            user_options=user_options or {},
            **settings,
        )

    return new_spawner


# --- starting -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ip", "host"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
async def test_a_start_returns_where_the_server_is(new_spawner, provider, ip, host):
    url = await new_spawner(ip=ip).start()
    assert url == f"http://{host}:{provider.list()[0].port}"


@pytest.mark.parametrize(
    ("settings", "user_options", "expected"),
    [
        ({}, {}, {"image": "default", "size": "", "limits": Limits(tasks=2048, memory_guarantee_bytes=2**30)}),
        (
            {"mem_limit": "1G", "cpu_limit": 1.5, "tasks_limit": 0},
            {},
            {"limits": Limits(memory_bytes=2**30, cpus=1.5, tasks=None, memory_guarantee_bytes=2**30)},
        ),
        (
            {"mem_limit": "512M", "mem_guarantee": "2G", "cpu_limit": 0.5, "cpu_guarantee": 1},
            {},
            {"limits": Limits(2**29, 0.5, 2048, memory_guarantee_bytes=2**29, cpu_guarantee=0.5)},
        ),
        (
            {"mem_guarantee": "2G", "cpu_guarantee": 0.25},
            {},
            {"limits": Limits(tasks=2048, memory_guarantee_bytes=2**31, cpu_guarantee=0.25)},
        ),
        ({"mem_guarantee": 0, "mem_limit": "1G"}, {}, {"limits": Limits(memory_bytes=2**30, tasks=2048)}),
        (
            {
                "unit_name_template": "nb-{USERNAME}",
                "readwrite_paths": ["/srv/{USERNAME}/{USERID}"],
                "unit_extra_properties": {"Nice": 5, "ReadOnlyPaths": ["/srv/{USERNAME}"]},
                "isolate_tmp": False,
            },
            {},
            {
                "name": "nb-alice",
                "placement": {
                    "unit_extra_properties": {"Nice": 5, "ReadOnlyPaths": ["/srv/alice"]},
                    "isolate_tmp": False,
                    "isolate_devices": True,
                    "readonly_paths": [],
                    "readwrite_paths": ["/srv/alice/7"],
                    "slice": "",
                    "user_workingdir": "",
                    "storage_type": "home",
                },
            },
        ),
        (
            {"userserver_sizes": SIZES, "userserver_images": IMAGES, "mem_limit": "1G"},
            {"userserver_image": "r"},
            {"image": "r", "size": "large", "limits": Limits(2**32, 2.0, 300, memory_guarantee_bytes=2**30)},
        ),
        (
            {"userserver_sizes": SIZES, "mem_limit": "1G"},
            {"userserver_size": "plain"},
            {"size": "plain", "limits": Limits(2**30, tasks=2048, memory_guarantee_bytes=2**30)},
        ),
        ({"username_template": "u{USERID}"}, {}, {"account": "u7"}),
        ({}, {}, {"account": "jupyter-alice", "command": ("jupyterhub-singleuser",)}),
        ({"cmd": ["jupyter", "lab"], "args": ["--debug"]}, {}, {"command": ("jupyter", "lab", "--debug")}),
    ],
)
async def test_an_instance_is_what_settings_and_choice_say(
    new_spawner, fleet, monkeypatch, settings, user_options, expected
):
    requests = []
    launch = fleet.launch
    monkeypatch.setattr(fleet, "launch", lambda request: requests.append(request) or launch(request))
    await new_spawner(user_options=user_options, **settings).start()
    assert {name: getattr(requests[0], name) for name in expected} == expected


@pytest.mark.parametrize(
    ("settings", "user_options", "expected"),
    [
        ({}, {}, {"MEM_GUARANTEE": str(2**30)}),
        ({"mem_limit": "1G", "cpu_limit": 1.5}, {}, {"MEM_LIMIT": str(2**30), "CPU_LIMIT": "1.5"}),
        (
            {"mem_limit": "512M", "cpu_limit": 0.5, "cpu_guarantee": 2},
            {},
            {"MEM_LIMIT": str(2**29), "MEM_GUARANTEE": str(2**29), "CPU_LIMIT": "0.5", "CPU_GUARANTEE": "0.5"},
        ),
        ({"userserver_sizes": SIZES, "mem_limit": "1G"}, {}, {"MEM_LIMIT": str(2**32), "CPU_LIMIT": "2.0"}),
        ({"userserver_sizes": SIZES, "mem_limit": "1G"}, {"userserver_size": "plain"}, {"MEM_LIMIT": str(2**30)}),
        (
            {"userserver_sizes": SIZES, "environment": {"MEM_LIMIT": "much"}},
            {"userserver_size": "small"},
            {"MEM_LIMIT": "much", "CPU_LIMIT": "0.5"},
        ),
    ],
)
async def test_a_server_is_told_the_limits_of_its_size(new_spawner, settings, user_options, expected):
    spawner = new_spawner(user_options=user_options, **settings)
    await spawner._run_apply_user_options(user_options)
    env = spawner.get_env()
    assert {name: env.get(name) for name in expected} == expected
    assert ("MEM_LIMIT" in env, "CPU_LIMIT" in env) == ("MEM_LIMIT" in expected, "CPU_LIMIT" in expected)


def test_every_variable_of_a_server_is_text(new_spawner):
    env = new_spawner(environment={"COURSE": 101, "NAME": lambda spawner: spawner.user.name}).get_env()
    assert {type(value) for value in env.values()} == {str}
    assert (env["COURSE"], env["NAME"]) == ("101", "alice")


STOP = {"at": 1767225600 + 28800, "every": 300, "notice": 600, "max_age": 28800}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"max_age": 28800}, {**STOP, "keeps_files": True}),
        ({"max_age": 28800, "server": "lab"}, {**STOP, "keeps_files": True}),
        ({"max_age": 28800, "storage_type": "none"}, {**STOP, "keeps_files": False}),
        ({"max_age": 28800, "profile_list": [NO_FILES]}, {**STOP, "keeps_files": False}),
        ({"max_age": 28800, "provider": "openstack", "userserver_images": IMAGES}, {**STOP, "keeps_files": False}),
        ({"max_age": 28800, "max_age_notice": 0}, None),
        ({}, None),
    ],
)
async def test_a_server_is_told_when_it_is_stopped_for_its_age(new_spawner, settings, told):
    spawner = new_spawner(max_age_delay=300, **settings)
    spawner.orm_spawner.started = datetime(2026, 1, 1)
    await spawner._run_apply_user_options({})
    assert json.loads(spawner.get_env().get("LIBCLOUDSPAWNER_STOP", "null")) == told


@pytest.mark.parametrize("user_options", [{"userserver_size": "huge"}, {"userserver_image": ["r"]}])
async def test_a_choice_outside_of_the_lists_starts_nothing(new_spawner, provider, user_options):
    spawner = new_spawner(user_options=user_options, userserver_sizes=SIZES, userserver_images=IMAGES)
    for attempt in (spawner._run_apply_user_options(user_options), spawner.start()):
        with pytest.raises(SpawnException, match="Allowed values") as caught:
            await attempt
        assert caught.value.status_code == 400
    assert provider.calls == []


REFUSED = ProviderError("The account root has uid 0, below 1000.", reason="node-refused")
CUT = ProviderUnreachable("The socket /run/x.sock cannot be reached.")
LOST = OutcomeUnknown("The control helper did not answer.")


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (REFUSED, 500, "The account root has uid 0, below 1000."),
        (CUT, 503, "The host of your server cannot be reached. Try again in a minute."),
        (LOST, 500, "The control helper did not answer."),
    ],
)
async def test_a_launch_that_fails_says_why_and_leaves_nothing(new_spawner, provider, error, status, message):
    provider.befall("create", error=error)
    spawner = new_spawner()
    with pytest.raises(SpawnException) as caught:
        await spawner.start()
    assert (caught.value.status_code, caught.value.message) == (status, message)
    assert caught.value.reason == error.reason
    await eventually(lambda: not provider.names)
    assert await spawner.poll() == 0


async def test_a_launch_whose_answer_was_lost_goes_on(new_spawner, provider):
    provider.befall("create", error=LOST, works_first=True)
    assert (await new_spawner().start()).startswith("http://")
    assert provider.names == {"alice"}


@pytest.mark.parametrize(
    ("state", "first"),
    [
        (State.FAILED, "The server ended while it started"),
        (State.RUNNING, "The server did not answer within"),
    ],
)
async def test_a_server_that_does_not_come_up_shows_its_log_and_leaves_nothing(new_spawner, provider, state, first):
    provider.begins_as, provider.is_ready_at_once = state, False
    provider.cloud.logs["alice"] = ["Traceback", "ImportError: <numpy> & more"]
    spawner = new_spawner(start_timeout=1)
    with pytest.raises(SpawnException) as caught:
        await spawner.start()
    assert caught.value.message.startswith(first)
    assert caught.value.message.endswith("\nTraceback\nImportError: <numpy> & more")
    assert "<pre>Traceback\nImportError: &lt;numpy&gt; &amp; more</pre>" in caught.value.message_html
    assert caught.value.jupyterhub_html_message == caught.value.message_html
    await eventually(lambda: not provider.names)


async def test_a_slow_launch_leaves_time_to_read_the_log(new_spawner, provider, monkeypatch):
    monkeypatch.setattr(spawner_module, "_CLEANUP_SECONDS", 0.5)
    provider.is_ready_at_once = False
    provider.cloud.logs["alice"] = ["Waiting for a lock"]
    provider.befall("create", seconds=0.6)
    with pytest.raises(SpawnException, match="Waiting for a lock"):
        await asyncio.wait_for(new_spawner(start_timeout=1).start(), 1)


async def test_a_start_that_is_given_up_leaves_nothing(new_spawner, provider):
    trouble = provider.befall("create", hangs=True)
    spawner = new_spawner()
    start = asyncio.create_task(spawner.start())
    await eventually(trouble.begun.is_set)
    start.cancel()
    trouble.release.set()
    with pytest.raises(asyncio.CancelledError):
        await start
    await eventually(lambda: provider.count("destroy") and not provider.names)
    assert await spawner.poll() == 0


async def test_a_start_that_is_given_up_is_over_while_its_instance_still_ends(new_spawner, provider):
    provider.is_ready_at_once = False
    ending = provider.befall("destroy", hangs=True)
    start = asyncio.create_task(new_spawner().start())
    await eventually(lambda: provider.names)
    start.cancel()
    # Before JupyterHub asks for its stop.
    await asyncio.wait({start}, timeout=1)
    assert start.cancelled()
    ending.release.set()
    await eventually(lambda: not provider.names)


async def test_a_failure_that_nobody_foresaw_leaves_nothing(new_spawner, provider, fleet, monkeypatch):
    async def fail(*_):
        raise ValueError("a bug")

    monkeypatch.setattr(fleet, "wait_until_ready", fail)
    with pytest.raises(ValueError, match="a bug"):
        await new_spawner().start()
    await eventually(lambda: not provider.names)


async def test_no_log_holds_the_token(new_spawner, provider, caplog, monkeypatch):
    spawner = new_spawner(log=logging.getLogger("test"))
    caplog.set_level("DEBUG")
    await spawner.start()
    provider.befall("list", error=ValueError("a bug"))
    await spawner.poll()
    provider.befall("destroy", error=ProviderError("busy"))
    await spawner.stop()
    for error in (REFUSED, CUT, LOST):
        provider.befall("create", error=error)
        with pytest.raises(SpawnException):
            await spawner.start()
    assert "a bug" in caplog.text
    assert TOKEN not in caplog.text


async def test_a_request_names_the_groups_of_its_user(new_spawner, fleet, monkeypatch):
    requests = []
    launch = fleet.launch
    monkeypatch.setattr(fleet, "launch", lambda request: requests.append(request) or launch(request))
    spawner = new_spawner()
    spawner.user.groups = [SimpleNamespace(name="teachers"), SimpleNamespace(name="geography")]
    await spawner.start()
    assert requests[0].groups == ("geography", "teachers")


# --- progress -----------------------------------------------------------------------------------------------


async def read(spawner):
    return [event async for event in spawner.progress()]


async def test_progress_tells_each_step_once_and_ends_with_the_start(new_spawner, provider):
    trouble = provider.befall("create", hangs=True)
    spawner = new_spawner(userserver_sizes=SIZES)
    start = asyncio.create_task(spawner.start())
    await eventually(trouble.begun.is_set)
    readers = [asyncio.create_task(read(spawner)) for _ in range(2)]
    await asyncio.sleep(0.01)
    trouble.release.set()
    await start
    first, second = await asyncio.wait_for(asyncio.gather(*readers), 1)
    assert first == second == await asyncio.wait_for(read(spawner), 1)
    percents = [event["progress"] for event in first]
    assert percents == sorted(set(percents))
    assert percents[-1] < 100
    assert "4 GB of memory, 2 processors" in first[0]["message"]


async def test_progress_ends_when_the_start_fails(new_spawner, provider):
    provider.befall("create", seconds=0.05, error=REFUSED)
    spawner = new_spawner()
    start = asyncio.create_task(spawner.start())
    await asyncio.sleep(0.01)
    assert await asyncio.wait_for(read(spawner), 1)
    with pytest.raises(SpawnException):
        await start


@pytest.mark.parametrize("is_first", [True, False])
async def test_who_looks_before_the_start_sees_that_start(new_spawner, is_first):
    spawner = new_spawner()
    if not is_first:
        await spawner.start()
        await spawner.stop()
    spawner.clear_state()
    reader = asyncio.create_task(read(spawner))
    await asyncio.sleep(0.01)
    assert not reader.done()
    await spawner.start()
    assert await asyncio.wait_for(reader, 1) == await read(spawner)


# --- polling and stopping -----------------------------------------------------------------------------------


async def test_what_was_never_started_is_not_running(new_spawner, provider):
    assert await new_spawner().poll() == 0
    assert provider.calls == []


async def test_what_is_starting_counts_as_running(new_spawner, provider):
    trouble = provider.befall("create", hangs=True)
    spawner = new_spawner()
    start = asyncio.create_task(spawner.start())
    await eventually(trouble.begun.is_set)
    assert await spawner.poll() is None
    trouble.release.set()
    await start
    assert await spawner.poll() is None


@pytest.mark.parametrize(
    ("state", "exit_status", "expected"),
    [
        (State.STARTING, 0, None),
        (State.RUNNING, 0, None),
        (State.STOPPING, 0, None),
        (State.STOPPED, 0, 0),
        (State.STOPPED, 143, 143),
        (State.FAILED, 1, 1),
    ],
)
async def test_only_what_is_known_to_have_ended_is_not_running(new_spawner, provider, state, exit_status, expected):
    spawner = new_spawner()
    await spawner.start()
    provider.change("alice", state=state, exit_status=exit_status)
    assert await spawner.poll() == expected
    await asyncio.sleep(0.02)
    assert (not provider.names) == (expected is not None), "JupyterHub does not stop what poll() says has ended"


async def test_what_is_in_no_listing_is_not_running(new_spawner, provider):
    spawner = new_spawner()
    await spawner.start()
    provider.lose("alice")
    assert await spawner.poll() == 0


@pytest.mark.parametrize("error", [REFUSED, CUT, LOST, ValueError("a bug")], ids=repr)
async def test_what_is_unclear_counts_as_running(new_spawner, provider, error):
    spawner = new_spawner()
    await spawner.start()
    provider.befall("list", error=error)
    assert await spawner.poll() is None
    assert provider.names == {"alice"}


async def test_a_database_that_fails_does_not_make_poll_raise(new_spawner, provider):
    class Broken:
        @property
        def api_tokens(self):
            raise RuntimeError("database is locked")

    spawner = new_spawner()
    await spawner.start()
    provider.lose("alice")
    spawner.api_token = ""
    spawner.user.orm_user = Broken()
    spawner.orm_spawner.server = RUNNING_AT
    assert await spawner.poll() == 0


async def test_poll_answers_while_cleaning_up_takes_long(new_spawner, provider, monkeypatch):
    monkeypatch.setattr(spawner_module, "_CLEANUP_SECONDS", 0.05)
    spawner = new_spawner()
    await spawner.start()
    provider.lose("alice")
    provider.befall("destroy", hangs=True)
    assert await asyncio.wait_for(spawner.poll(), 2) == 0


async def test_a_stop_that_takes_long_goes_on_without_the_user(new_spawner, provider, monkeypatch):
    monkeypatch.setattr(spawner_module, "_STOP_SECONDS", 0.05)
    spawner = new_spawner()
    await spawner.start()
    trouble = provider.befall("destroy", hangs=True)
    await asyncio.wait_for(spawner.stop(), 2)
    assert provider.names == {"alice"}
    trouble.release.set()
    await eventually(lambda: not provider.names)


async def test_a_stopped_server_is_gone(new_spawner, provider):
    spawner, other = new_spawner(), new_spawner(server="gpu")
    await spawner.start()
    await other.start()
    provider.befall("destroy", times=2, error=LOST)
    await spawner.stop()
    assert provider.names == {other.instance_name}
    assert await spawner.poll() == 0
    assert await other.poll() is None


# --- what is counted and told -------------------------------------------------------------------------------


@pytest.fixture
def counted():
    """How much a value of a metric has grown since the test began."""
    before = {(sample.name, *sorted(sample.labels.items())): sample.value for sample in samples()}

    def counted(name, **labels):
        key = (name, *sorted(labels.items()))
        now = {(sample.name, *sorted(sample.labels.items())): sample.value for sample in samples()}
        return now.get(key, 0) - before.get(key, 0)

    return counted


def samples():
    return [sample for metric in REGISTRY.collect() for sample in metric.samples]


def told(caplog):
    """The events that were told, each with its words."""
    return [json.loads(record.message) for record in caplog.records if record.message.startswith("{")]


async def test_a_life_of_a_server_is_told_and_counted(new_spawner, caplog, counted):
    caplog.set_level(logging.INFO)
    spawner = new_spawner(user="alice\n", server="gpu")
    await spawner.start()
    await spawner.stop()
    assert [event["event"] for event in told(caplog)] == ["start", "ready", "stop", "stopped"]
    whose = {"user": "alice\n", "server": "gpu", "instance": spawner.instance_name, "request": spawner.request_id}
    assert all(event.items() >= whose.items() for event in told(caplog))
    assert 0 <= told(caplog)[1]["seconds"] < 60
    assert counted("libcloudspawner_starts_total") == 1
    for phase in ("create", "answer", "destroy"):
        assert counted("libcloudspawner_phase_seconds_count", phase=phase) == 1, phase
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    ("error", "reason"),
    [(ProviderError("No room.", reason="quota"), "quota"), (RuntimeError("a bug"), "RuntimeError")],
)
async def test_a_start_that_fails_is_told_and_counted_by_its_reason(
    new_spawner, provider, caplog, counted, error, reason
):
    caplog.set_level(logging.INFO)
    provider.befall("create", error=error)
    with pytest.raises((SpawnException, RuntimeError)):
        await new_spawner().start()
    assert [(event["event"], event.get("reason")) for event in told(caplog)] == [
        ("start", None),
        ("start-failed", reason),
    ]
    assert counted("libcloudspawner_start_failures_total", reason=reason) == 1


async def test_a_server_that_ends_by_itself_is_told(new_spawner, provider, caplog):
    caplog.set_level(logging.INFO)
    spawner = new_spawner()
    await spawner.start()
    provider.change("alice", state=State.FAILED)
    assert await spawner.poll() is not None
    assert (told(caplog)[-1]["event"], told(caplog)[-1]["state"]) == ("gone", "failed")


async def test_instances_are_counted_by_their_states_as_the_last_listing_had_them(new_spawner, provider, fleet):
    def count(state):
        return REGISTRY.get_sample_value("libcloudspawner_instances", {"state": state})

    spawner = new_spawner()
    await spawner.start()
    await fleet.find("", 0.0)
    assert (count("running"), count("failed")) == (1, 0)
    assert time.time() - REGISTRY.get_sample_value("libcloudspawner_listing_timestamp_seconds") < 60
    provider.change("alice", state=State.FAILED)
    await fleet.find("", 0.0)
    assert (count("running"), count("failed")) == (0, 1)


@pytest.mark.parametrize(
    ("used", "busy_cpu", "is_use"),
    [(6, 0.1, True), (0.6, 0.1, False), (0.6, 0.005, True), (6, 0, False), (None, 0.1, False)],
)
async def test_a_server_whose_processes_compute_counts_as_used(
    new_spawner, provider, monkeypatch, used, busy_cpu, is_use
):
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(spawner_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    commits = []
    spawner = new_spawner(busy_cpu=busy_cpu, db=SimpleNamespace(commit=lambda: commits.append(clock.now)))
    spawner.orm_spawner.last_activity = None
    await spawner.start()
    for seconds in (0, 5, 30):
        clock.now = 1000.0 + seconds
        provider.change("alice", cpu_seconds=None if used is None else 100 + used * (seconds == 30))
        assert await spawner.poll() is None
    assert (spawner.orm_spawner.last_activity is not None) == is_use
    assert commits == [1030.0] * is_use


# --- state --------------------------------------------------------------------------------------------------


async def test_a_restarted_hub_finds_the_servers_again(new_spawner):
    spawner = new_spawner(server="gpu")
    await spawner.start()
    state = json.loads(json.dumps(spawner.get_state()))
    found = new_spawner(server="gpu", username_template="other-{USERNAME}")
    found.load_state(state)
    assert found.get_state() == state
    assert await found.poll() is None
    await found.stop()
    assert await found.poll() == 0


async def test_cleared_state_is_that_of_a_spawner_that_never_started(new_spawner):
    spawner = new_spawner()
    await spawner.start()
    spawner.clear_state()
    assert spawner.get_state() == new_spawner().get_state() == {}


@pytest.mark.parametrize("state", [{}, {"version": 99}, {"pid": 12, "unit_name": "jupyter-alice-singleuser"}])
async def test_a_state_of_another_spawner_means_not_running(new_spawner, state):
    spawner = new_spawner()
    spawner.load_state(state)
    assert await spawner.poll() == 0


@pytest.mark.parametrize("server", ["", "gpu"])
async def test_a_server_that_is_deleted_is_forgotten(new_spawner, provider, server):
    taken = []
    provider.forget = lambda *whose: taken.append(whose)
    spawner = new_spawner(server=server)
    await spawner.delete_forever()
    assert taken == [("alice", server, "jupyter-alice")]


async def test_a_user_whose_server_runs_loses_nothing(new_spawner, provider):
    spawner = new_spawner()
    spawner.user.spawners["gpu"] = SimpleNamespace(active=True)
    with pytest.raises(RuntimeError, match="its user has a server that runs"):
        await spawner.delete_forever()
    assert provider.count("forget") == 0


@pytest.mark.parametrize("is_deleted", [True, False])
async def test_a_server_is_forgotten_beside_one_that_runs_once_it_is_deleted(
    new_spawner, provider, fleet, monkeypatch, orm_user, is_deleted
):
    monkeypatch.setattr(fleet_module, "_DELETED_SECONDS", 0.01)
    spawner = new_spawner(server="gpu")
    spawner.user.spawners[""] = SimpleNamespace(active=True)
    session = Session.object_session(orm_user)
    spawner.orm_spawner = orm.Spawner(name="gpu")
    session.add(spawner.orm_spawner)
    orm_user.orm_spawners["gpu"] = spawner.orm_spawner
    session.commit()
    await spawner.delete_forever()
    assert provider.count("forget") == 0
    if is_deleted:
        session.delete(spawner.orm_spawner)
        session.commit()
    await eventually(lambda: not fleet._forgetting)
    assert provider.count("forget", "alice/gpu") == is_deleted


@pytest.fixture
def orm_user():
    engine = create_engine("sqlite://")
    orm.Base.metadata.create_all(engine)
    with Session(engine) as session:
        user = orm.User(name="alice")
        notes = ("Server at /user/alice/", "Server at /user/alice/gpu/", "my own")
        session.add_all(orm.APIToken(note=note, user=user) for note in notes)
        session.commit()
        yield user
    engine.dispose()


@pytest.mark.parametrize("is_stopped", [True, False])
async def test_the_token_of_a_server_that_ended_after_a_restart_of_the_hub_is_revoked(
    new_spawner, provider, orm_user, is_stopped
):
    started = new_spawner()
    await started.start()
    spawner = new_spawner()
    spawner.clear_state()
    spawner.load_state(started.get_state())
    spawner.user.orm_user = orm_user
    spawner.orm_spawner.server = RUNNING_AT
    assert await spawner.poll() is None
    assert len(orm_user.api_tokens) == 3
    if is_stopped:
        await spawner.stop()
    else:
        provider.lose("alice")
        assert await spawner.poll() == 0
    assert sorted(token.note for token in orm_user.api_tokens) == ["Server at /user/alice/gpu/", "my own"]


# --- settings and form --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"userserver_sizes": ["small"]},
        {"userserver_images": [{"name": "r", "mem_limit": "1G"}]},
        {"hub_id": "My Hub"},
        {"hub_id": ""},
        {"provider": "cloud"},
        {"tasks_limit": -1},
    ],
    ids=repr,
)
def test_a_wrong_setting_is_refused_when_it_is_made(new_spawner, settings):
    with pytest.raises(TraitError):
        new_spawner(**settings)


@pytest.mark.parametrize(
    ("settings", "is_told"),
    [({"storage_type": "home"}, False), ({"storage_type": "none"}, True)],
)
async def test_the_form_and_the_home_page_say_when_files_do_not_stay(new_spawner, settings, is_told):
    offered = {"userserver_sizes": SIZES, "profile_list": [{"display_name": "One", "slug": "one"}]}
    spawner = new_spawner(**settings, **offered)
    html = await spawner.get_options_form()
    assert ("deleted when it stops" in html) == is_told

    own = type("Own", (LibcloudSpawner,), {"__new__": lambda cls, parent: spawner})
    app = SimpleNamespace(spawner_class=own, template_vars={})
    LibcloudSpawner._begin(app)
    assert ("announcement_home" in app.template_vars) == is_told


async def test_a_profile_whose_files_do_not_stay_says_so_in_the_form(new_spawner):
    trial = {"display_name": "Trial", "spawner_override": {"storage_type": "none", "mem_limit": "1G"}}
    html = await new_spawner(profile_list=[trial, {"display_name": "Other"}]).get_options_form()
    assert html.count("files are deleted when it stops") == 1


@pytest.mark.parametrize(
    ("provider_name", "storage", "said"),
    [
        ("systemd", "volume", "volume is for the provider openstack, not for systemd. Here it may be home or none"),
        ("local", "volume", "volume is for the provider openstack, not for local. Here it may be home"),
        ("local", "none", "none is for the provider systemd and openstack, not for local"),
    ],
)
async def test_storage_that_a_provider_does_not_have_is_refused(new_spawner, provider_name, storage, said):
    with pytest.raises(TraitError, match=said):
        new_spawner(provider=provider_name, storage_type=storage).check_settings()
    profile = {"display_name": "One", "spawner_override": {"storage_type": storage}}
    with pytest.raises(TraitError, match=f"One.*{said}"):
        new_spawner(provider=provider_name, profile_list=[profile]).check_settings()
    with pytest.raises(StartRefused, match=said):
        await new_spawner(provider=provider_name, storage_type=storage).start()


async def test_on_machines_the_form_says_which_profiles_keep_files(new_spawner):
    kept, lost = "files are kept", "files are deleted when it stops"
    profiles = [{"display_name": name, "spawner_override": {"storage_type": name}} for name in ("volume", "home")]
    on_disks = await new_spawner(provider="openstack", profile_list=profiles).get_options_form()
    assert (on_disks.count(kept), on_disks.count(lost)) == (1, 1)
    assert SOME_FILES_END in on_disks
    on_volumes = await new_spawner(
        provider="openstack", storage_type="volume", profile_list=profiles
    ).get_options_form()
    assert (on_volumes.count(kept), on_volumes.count(lost)) == (0, 1)
    assert FILES_END not in on_volumes


TRIAL = {"display_name": "Trial", "slug": "trial", "spawner_override": {"storage_type": "none"}}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, None),
        ({"profile_list": [TRIAL]}, SOME_FILES_END),
        ({"group_overrides": {"one": {"groups": ["guests"], **TRIAL}}}, SOME_FILES_END),
        ({"storage_type": "none"}, FILES_END),
        ({"storage_type": "none", "profile_list": [TRIAL]}, FILES_END),
    ],
)
async def test_the_home_page_says_of_some_servers_what_is_so_of_some(new_spawner, settings, said):
    own = type("Own", (LibcloudSpawner,), {"__new__": lambda cls, parent: new_spawner(**settings)})
    app = SimpleNamespace(spawner_class=own, template_vars={})
    LibcloudSpawner._begin(app)
    assert app.template_vars.get("announcement_home") == said
    announced = SimpleNamespace(spawner_class=own, template_vars={"announcement": "Closed on Monday"})
    LibcloudSpawner._begin(announced)
    assert announced.template_vars.get("announcement_home") == (said and f"Closed on Monday<br>{said}")
    assert announced.template_vars["announcement"] == "Closed on Monday"


async def test_a_profile_that_was_chosen_before_says_nothing_of_the_others(new_spawner):
    spawner = new_spawner(profile_list=[TRIAL, {"display_name": "Other"}], user_options={"profile": "trial"})
    before = await spawner.get_options_form()
    await spawner._apply({"profile": "trial"})
    assert spawner.storage_type == "none"
    assert await spawner.get_options_form() == before


@pytest.mark.parametrize(
    ("said", "size"), [("10Gi", 10 * 2**30), ("10G", 10 * 2**30), ("512MiB", 2**29), ("1.5T", 3 * 2**39)]
)
def test_a_capacity_is_read_as_kubernetes_has_it(new_spawner, said, size):
    assert new_spawner(storage_capacity=said).storage_capacity == size


@pytest.mark.parametrize("said", ["", "much", "0", "-1Gi", "10Xi", None, "10 Gb"])
def test_what_is_no_capacity_is_refused(new_spawner, said):
    with pytest.raises(TraitError, match="storage_capacity must be a number with K, M, G or T, such as 10Gi"):
        new_spawner(storage_capacity=said)


@pytest.mark.parametrize(
    ("last", "ticked"),
    [(None, "large"), ({"userserver_size": "small"}, "small"), ({"userserver_size": "no longer there"}, "large")],
)
async def test_the_form_begins_with_what_was_chosen_last(new_spawner, last, ticked):
    spawner = new_spawner(userserver_sizes=SIZES)
    spawner.orm_spawner.user_options = last
    assert f'value="{ticked}" checked' in await spawner.get_options_form()


async def test_after_a_start_that_failed_the_form_has_the_choices_and_what_was_chosen(new_spawner):
    images = [{"name": "default"}, {"name": "course"}]
    chosen = {"userserver_size": "small", "userserver_image": "course"}
    spawner = new_spawner(userserver_sizes=SIZES, userserver_images=images)
    spawner.orm_spawner.user_options = chosen
    await spawner._apply(chosen)
    html = await spawner.get_options_form()
    assert 'value="small" checked' in html
    assert 'value="course" checked' in html
    assert 'value="large"' in html
    assert spawner.orm_spawner.user_options == chosen


async def test_without_lists_there_is_no_form(new_spawner):
    assert await new_spawner().get_options_form() == ""


async def test_a_form_that_is_sent_starts_what_it_says(new_spawner, provider):
    spawner = new_spawner(userserver_sizes=SIZES, userserver_images=IMAGES)
    spawner.user_options = spawner.run_options_from_form({"userserver_size": ["small"], "_xsrf": ["x"]})
    await spawner._run_apply_user_options(spawner.user_options)
    await spawner.start()
    assert provider.names == {"alice"}
    assert spawner.get_env()["CPU_LIMIT"] == "0.5"


async def test_a_refused_form_is_told_in_words(new_spawner):
    spawner = new_spawner(userserver_sizes=SIZES)
    with pytest.raises(HTTPError) as caught:
        await spawner._run_apply_user_options(spawner.run_options_from_form({"userserver_size": ["a", "b"]}))
    assert caught.value.status_code == 400
    assert "small, large, plain" in caught.value.jupyterhub_message
