# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's control helper, and a host for it that exists in a temporary folder alone."""

from __future__ import annotations

import json
import pwd
import subprocess
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import hypothesis
import pytest
from programs import load_program

HELPER = Path(__file__).parents[3] / "roles/node/files/jupyterhub-singleuserctl"
TOKEN = "a-token-that-nobody-may-see"
# What the role makes beforehand, and what it or the helper makes where it is needed.
FOLDERS = ("ENVIRONMENT_FILES", "STATE", "DROP_INS", "ACCOUNTS", "ENVIRONMENTS")
OTHERS = ("CONFIGURATION", "HOME_DATA", "HOOKS", "ROOT_HOOKS", "PROCESSES", "MEMORY_HOMES")

hypothesis.settings.register_profile("tests", deadline=None, max_examples=30)
hypothesis.settings.load_profile("tests")


class Host:
    """Accounts, units and files as the helper finds them; it answers what the helper runs."""

    def __init__(self, helper: ModuleType, root: Path) -> None:
        self.helper = helper
        self.root = root
        self.configuration: dict[str, Any] = {
            "account_prefix": "jupyter-",
            "account_map": {},
            "home_root": str(root / "home"),
            "port_first": 20000,
            "port_last": 29999,
            "slices": [],
        }
        # Those of root.
        self.hooks: list[dict[str, Any]] = []
        self.accounts = {name: self._account(name, uid) for name, uid in {"root": 0, "www-data": 33}.items()}
        self.units: dict[str, dict[str, str]] = {}
        self.journal: list[str] = []
        self._arrived: list[str] = []
        # Where the image of a home that has a capacity lies.
        self.image = ""
        self.commands: list[tuple[str, ...]] = []
        self.failures: dict[str, str] = {}
        self.taken_ports: set[int] = set()
        self._lock = threading.Lock()
        for name in (*FOLDERS, *OTHERS):
            setattr(helper, name, root / Path(getattr(helper, name)).relative_to("/"))
        for name in FOLDERS:
            getattr(helper, name).mkdir(parents=True, exist_ok=True)
        self.write_configuration()
        self._add_environment("default")
        helper.pwd = SimpleNamespace(
            getpwnam=self.accounts.__getitem__, getpwuid=self._getpwuid, struct_passwd=pwd.struct_passwd
        )
        helper.subprocess = SimpleNamespace(**{**vars(subprocess), "run": self._run})
        helper.is_free = lambda address, port: port not in self.taken_ports
        helper.listening = set  # nobody listens

    def ask(self, action: str, **request: Any) -> dict[str, Any]:
        self.write_configuration()
        defaults = {"hub": "hub", "instance": "alice"} if action != "list" else {"hub": "hub"}
        return self.helper.answer(json.dumps({"action": action, **defaults, **request}).encode())

    def start(self, instance: str = "alice", **request: Any) -> dict[str, Any]:
        defaults = {
            "request": "r1",
            "user": instance,
            "server": "",
            "account": f"jupyter-{instance}",
            "address": "127.0.0.1",
            "environment": "default",
            "command": ["jupyterhub-singleuser"],
            "variables": {"JUPYTERHUB_API_TOKEN": TOKEN},
            "limits": {},
        }
        return self.ask("start", instance=instance, **{**defaults, **request})

    def write_configuration(self) -> None:
        with self._lock:
            new = self.helper.CONFIGURATION.with_suffix(".new")
            new.write_text(json.dumps(self.configuration))
            new.replace(self.helper.CONFIGURATION)
            if self.hooks:
                self.helper.ROOT_HOOKS.write_text(json.dumps(self.hooks))

    def add_account(self, name: str, uid: int) -> None:
        self.accounts[name] = self._account(name, uid)

    def leftovers(self) -> list[str]:
        """What there is of instances, the homes and accounts of users aside."""
        folders = (self.helper.STATE, self.helper.ENVIRONMENT_FILES, self.helper.DROP_INS)
        files = [str(path) for folder in folders for path in folder.rglob("*") if path.suffix not in (".lock", "")]
        settings = (str(self.helper.CONFIGURATION), str(self.helper.ROOT_HOOKS))
        return [path for path in files if path not in settings] + list(self.units)

    def _add_environment(self, name: str) -> None:
        real = self.helper.ENVIRONMENTS / f"{name}-0123"
        (real / "bin").mkdir(parents=True)
        (real / "lib/python3.11").mkdir(parents=True)
        (real / "bin/jupyterhub-singleuser").touch()
        (real / "bin/voila").touch()
        (self.helper.ENVIRONMENTS / name).symlink_to(real.name)

    def _getpwuid(self, uid: int) -> pwd.struct_passwd:
        return {account.pw_uid: account for account in self.accounts.values()}[uid]

    def _account(self, name: str, uid: int) -> pwd.struct_passwd:
        home = self.root / "home" / name
        return pwd.struct_passwd((name, "x", uid, uid, "", str(home), "/bin/bash"))

    def _run(self, command: tuple[str, ...], **_: Any) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        program, *arguments = (Path(command[0]).name, *command[1:])
        what = program if program != "systemctl" else arguments[0]
        if what in self.failures:
            return subprocess.CompletedProcess(command, 1, "", self.failures[what])
        return subprocess.CompletedProcess(command, 0, getattr(self, f"_{what.replace('-', '_')}")(*arguments), "")

    def _useradd(self, *arguments: str) -> str:
        options, name = arguments[:-1], arguments[-1]
        least = int(options[options.index("--key") + 1].partition("=")[2]) if "--key" in options else 1000
        uid = int(options[options.index("--uid") + 1]) if "--uid" in options else least + len(self.accounts)
        self.add_account(name, uid)
        if "--create-home" in options:
            Path(self.accounts[name].pw_dir).mkdir(parents=True)
        return ""

    def _userdel(self, name: str) -> str:
        self.accounts.pop(name, None)
        return ""

    def _jupyterhub_home_capacity(self, *_: str) -> str:
        return self.image

    def _podman(self, *_: str) -> str:
        return ""

    def _journalctl(self, *arguments: str) -> str:
        if "--sync" in arguments:
            self._arrived = list(self.journal)
            return ""
        # As systemd 252: with a time, --lines means the first lines since then.
        lines = self._arrived[::-1] if "--reverse" in arguments else self._arrived
        (count,) = [int(argument.removeprefix("--lines=")) for argument in arguments if argument.startswith("--lines=")]
        return "".join(json.dumps({"MESSAGE": line}) + "\n" for line in lines[:count])

    def _show(self, _: str, properties: str, *units: str) -> str:
        if "DropInPaths" in properties:
            return "DropInPaths=\nNeedDaemonReload=no\n"
        idle = {
            "ActiveState": "inactive",
            "Result": "success",
            "ExecMainStatus": "0",
            "MainPID": "0",
            "CPUUsageNSec": "0",
        }
        blocks = [{"Id": unit, **idle, **self.units.get(unit, {})} for unit in units if unit != "--"]
        return "\n\n".join("\n".join(f"{key}={value}" for key, value in block.items()) for block in blocks) + "\n"

    def _start(self, *arguments: str) -> str:
        unit = arguments[-1]
        self.units[unit] = {"ActiveState": "active", "MainPID": "4711"}
        return ""

    def _stop(self, _: str, unit: str) -> str:
        self.units.pop(unit, None)
        return ""

    def _systemd_mount(self, *_: str) -> str:
        return ""

    def _systemd_run(self, *_: str) -> str:
        return ""

    def _reset_failed(self, *_: str) -> str:
        return ""

    def _daemon_reload(self, *_: str) -> str:
        return ""


@pytest.fixture(scope="session")
def pure() -> ModuleType:
    """The helper, for its functions that touch nothing."""
    return load_program(HELPER)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(load_program(HELPER), tmp_path)


@pytest.fixture
def physics(host: Host) -> Host:
    """The same host as another hub has it, whose name is physics."""
    program = host.root / "jupyterhub-physics-singleuserctl"
    program.write_text(HELPER.read_text(encoding="utf-8"), encoding="utf-8")
    named = Host(load_program(program), host.root)
    named.configuration["account_prefix"] = "physics-"
    return named
