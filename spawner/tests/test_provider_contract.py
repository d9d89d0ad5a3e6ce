# SPDX-License-Identifier: BSD-3-Clause
"""What every provider promises to the fleet. A new provider adds its world to ``WORLDS``."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from errno import EPERM
from pathlib import Path
from unittest.mock import Mock

import pytest
from fakecloud import FakeCloud, Image, faults
from fakes import Cloud, FakeProvider, HelperStub
from launch import TOKEN, launch_request
from libcloudspawner.providers import local
from libcloudspawner.providers.base import Instance, OutcomeUnknown, Provider, ProviderError, ProviderUnreachable, State
from libcloudspawner.providers.local import LocalProvider
from libcloudspawner.providers.openstack import OpenStackProvider
from libcloudspawner.providers.systemd import SystemdProvider
from libcloudspawner.spawner import LibcloudSpawner


class World(ABC):
    """One place that carries instances, for the providers of several hubs."""

    @abstractmethod
    def __init__(self, folder: Path) -> None: ...

    @abstractmethod
    def provider(self, hub: str) -> Provider: ...

    @abstractmethod
    def refuse_next(self, message: str) -> None:
        """Answer the next creation with a clear no."""

    @abstractmethod
    def garble_next(self) -> None:
        """Answer the next call with half an answer."""

    @abstractmethod
    def cut(self) -> None:
        """Be out of reach from now on."""

    @abstractmethod
    def write_log(self, name: str, lines: list[str]) -> None: ...

    @abstractmethod
    def close(self) -> None: ...


class FakeWorld(World):
    def __init__(self, folder: Path) -> None:
        self._cloud = Cloud()
        self._providers: list[FakeProvider] = []

    def provider(self, hub: str) -> Provider:
        self._providers.append(FakeProvider(hub, self._cloud))
        return self._providers[-1]

    def refuse_next(self, message: str) -> None:
        for provider in self._providers:
            provider.befall("create", error=ProviderError(message, reason="refused"))

    def garble_next(self) -> None:
        self._befall(1, OutcomeUnknown("half an answer"))

    def cut(self) -> None:
        self._befall(10, ProviderUnreachable("out of reach"))

    def _befall(self, times: int, error: Exception) -> None:
        for provider in self._providers:
            for method in ("create", "list", "get", "destroy", "log"):
                provider.befall(method, times, error=error)

    def write_log(self, name: str, lines: list[str]) -> None:
        self._cloud.logs[name] = lines

    def close(self) -> None:
        for provider in self._providers:
            provider.close()


class SystemdWorld(World):
    def __init__(self, folder: Path) -> None:
        self._helper = HelperStub(folder / "control.sock")
        self._is_cut = False

    def provider(self, hub: str) -> Provider:
        return SystemdProvider(hub, str(self._helper.path))

    def refuse_next(self, message: str) -> None:
        self._helper.refuse_next(message)

    def garble_next(self) -> None:
        self._helper.answers.append(b'{"ok": true, "inst')

    def cut(self) -> None:
        self._is_cut = True
        self._helper.close()

    def write_log(self, name: str, lines: list[str]) -> None:
        self._helper.logs[name] = lines

    def close(self) -> None:
        if not self._is_cut:
            self._helper.close()


class OpenStackWorld(World):
    def __init__(self, folder: Path) -> None:
        self._cloud = FakeCloud().start()
        self._cloud.images["default"] = Image("default", "default")

    def provider(self, hub: str) -> Provider:
        return OpenStackProvider(hub, self._cloud.driver_params())

    def refuse_next(self, message: str) -> None:
        self._cloud.inject(faults.answer("POST", "/servers", 400, message=message))

    def garble_next(self) -> None:
        self._cloud.inject(faults.accept_then_garble(".*", "/servers.*"))

    def cut(self) -> None:
        self._cloud.unplug()

    def write_log(self, name: str, lines: list[str]) -> None:
        (server,) = [server for server in self._cloud.servers.values() if server.name == f"jupyter-{name}"]
        self._cloud.write_console(server.id, *lines)

    def close(self) -> None:
        self._cloud.stop()


class LocalWorld(World):
    """Real processes; what stands in for a server only sleeps."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        programs = folder / "environments/default/bin"
        programs.mkdir(parents=True)
        (programs / "python").symlink_to(sys.executable)
        (programs / "jupyterhub-singleuser").write_text("import time\ntime.sleep(600)\n")
        self._providers: list[LocalProvider] = []
        self._system = pytest.MonkeyPatch()
        self._is_cut = False

    def provider(self, hub: str) -> Provider:
        folder = self._folder
        self._providers.append(LocalProvider(hub, str(folder / "instances"), str(folder / "environments")))
        return self._providers[-1]

    def refuse_next(self, message: str) -> None:
        self._system.setattr(local.subprocess, "Popen", Mock(side_effect=OSError(EPERM, message)))

    def garble_next(self) -> None:
        pytest.skip("a process beside the hub has no answer that could be cut in half")

    def cut(self) -> None:
        self.close()
        (self._folder / "instances").write_text("")

    def write_log(self, name: str, lines: list[str]) -> None:
        (log,) = (self._folder / "instances").glob(f"*/r-{name}.log")
        log.write_text("\n".join(lines))

    def close(self) -> None:
        self._system.undo()
        if not self._is_cut:
            for provider in self._providers:
                for instance in provider.list():
                    provider.destroy(instance)
        self._is_cut = True


WORLDS = {"fake": FakeWorld, "systemd": SystemdWorld, "local": LocalWorld, "openstack": OpenStackWorld}

ALICE = Instance("alice", "alice", "alice", "", "r-alice", State.RUNNING, "127.0.0.1", 1)
CALLS = {
    "create": lambda provider: provider.create(launch_request("alice")),
    "list": lambda provider: provider.list(),
    "get": lambda provider: provider.get(ALICE.id),
    "destroy": lambda provider: provider.destroy(ALICE),
    "log": lambda provider: provider.log(ALICE, 5),
}


@pytest.fixture(params=WORLDS)
def world(request, tmp_path) -> Iterator[World]:
    world = WORLDS[request.param](tmp_path)
    yield world
    world.close()


@pytest.fixture
def provider(world) -> Provider:
    return world.provider("hub")


def names(provider: Provider) -> list[str]:
    return sorted(instance.name for instance in provider.list())


def test_where_nothing_was_created_nothing_is_listed(provider):
    assert provider.list() == []
    assert provider.get("no-such-instance") is None


def test_what_is_created_is_listed_with_whose_it_is(provider):
    provider.create(launch_request("alice"))
    created = provider.create(launch_request("alice-gpu", "r2", user="Alice Ä", server="gpu", bind_address="127.0.0.2"))
    assert names(provider) == ["alice", "alice-gpu"]
    (listed,) = [instance for instance in provider.list() if instance.name == "alice-gpu"]
    for instance in (created, listed, provider.get(created.id)):
        assert (instance.id, instance.name, instance.user, instance.server) == (
            created.id,
            "alice-gpu",
            "Alice Ä",
            "gpu",
        )
        assert instance.request_id == "r2"
        assert instance.state in (State.STARTING, State.RUNNING)
    assert listed.port == created.port


def test_instances_never_share_an_address(provider):
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: provider.create(launch_request(f"user-{number}")), range(16)))
    listed = provider.list()
    assert len({(instance.address, instance.port) for instance in listed}) == len(listed) == 16


def test_what_is_destroyed_is_gone_and_the_others_stay(provider):
    created = provider.create(launch_request("alice"))
    provider.create(launch_request("bob"))
    provider.destroy(created)
    assert names(provider) == ["bob"]
    assert provider.get(created.id) is None


def test_destroying_what_is_gone_is_no_error(provider):
    created = provider.create(launch_request("alice"))
    provider.destroy(created)
    provider.destroy(created)


def test_only_the_instance_of_the_request_is_destroyed(provider):
    first = provider.create(launch_request("alice", "r1"))
    provider.destroy(first)
    provider.create(launch_request("alice", "r2"))
    provider.destroy(first)
    assert [instance.request_id for instance in provider.list()] == ["r2"]


def test_the_instances_of_another_hub_are_out_of_sight(world, provider):
    other = world.provider("other")
    created = provider.create(launch_request("alice"))
    assert other.list() == []
    with suppress(ProviderError):
        assert other.get(created.id) is None
    assert names(provider) == ["alice"]


def test_a_log_is_the_last_lines_in_their_order(world, provider):
    created = provider.create(launch_request("alice"))
    world.write_log("alice", ["one", "two", "three"])
    assert provider.log(created, 2) == ["two", "three"]
    assert provider.log(ALICE, 2) in ([], ["two", "three"])


def test_a_refusal_is_an_error_with_its_reason(world, provider):
    world.refuse_next("The account root has uid 0")
    with pytest.raises(ProviderError, match="The account root has uid 0") as caught:
        provider.create(launch_request("alice"))
    assert not isinstance(caught.value, (ProviderUnreachable, OutcomeUnknown))
    assert caught.value.reason
    assert provider.list() == []


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_what_cannot_be_asked_is_unreachable(world, provider, call):
    world.cut()
    with pytest.raises(ProviderUnreachable):
        call(provider)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_half_an_answer_leaves_the_outcome_unknown(world, provider, call):
    world.garble_next()
    with pytest.raises(OutcomeUnknown):
        call(provider)


def test_the_token_is_in_nothing_that_may_be_printed(world, provider):
    assert TOKEN not in repr(launch_request("alice"))
    assert TOKEN not in repr(provider.create(launch_request("alice")))
    world.refuse_next("no")
    with pytest.raises(ProviderError) as caught:
        provider.create(launch_request("alice"))
    assert TOKEN not in repr(caught.value)


def test_a_server_that_was_deleted_is_forgotten_alone(provider):
    provider.create(launch_request("bob"))
    for server in ("gpu", ""):
        provider.forget("alice", server, "jupyter-alice")
    provider.tidy()
    assert names(provider) == ["bob"]


def test_a_provider_says_of_each_storage_whether_it_keeps_files(provider):
    assert "home" in provider.STORAGE
    assert set(provider.STORAGE) <= set(LibcloudSpawner.storage_type.values)
