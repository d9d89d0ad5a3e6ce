# SPDX-License-Identifier: BSD-3-Clause
"""The control helper of a host, asked as a hub asks it, and the cgroups of what it starts."""

from __future__ import annotations

import json
import time

SLICE = "/sys/fs/cgroup/jupyterhub.slice/jupyterhub-singleuser.slice"
# What servers wait for that are to begin at once.
GO = "/srv/go"
ASK = (
    "import socket, sys\n"
    "connection = socket.socket(socket.AF_UNIX)\n"
    "connection.connect('/run/jupyterhub-singleuserctl.sock')\n"
    "connection.sendall(sys.argv[1].encode() + b'\\n')\n"
    "print(connection.makefile().readline())"
)


def ask(host, hub, **request):
    """What the helper answers to one request."""
    return json.loads(host.check_output("python3 -c %s %s", ASK, json.dumps({"hub": hub, **request})))


class Node:
    def __init__(self, host):
        self._host = host
        self._started = set()

    def ask(self, **request):
        answer = ask(self._host, "vm", **request)
        assert answer["ok"], answer
        return answer

    def start(self, name, code, *arguments, **limits):
        self._started.add(name)
        self.ask(
            action="start",
            instance=name,
            request="r",
            user=name,
            account=f"jupyter-{name}",
            environment="default",
            command=["/usr/bin/python3", "-c", code, *map(str, arguments)],
            variables={},
            limits=limits,
        )

    def stop_all(self):
        while self._started:
            self.ask(action="stop", instance=self._started.pop())

    def forget_files(self):
        """Free the memory that servers of tests before had filled."""
        self._host.check_output("echo 3 >/proc/sys/vm/drop_caches")

    def go(self):
        self._host.check_output("touch %s && sleep 3", GO)

    def wait_for_word(self, name, word, seconds=300):
        deadline = time.monotonic() + seconds
        while not [line for line in self.ask(action="log", instance=name)["lines"] if word in line]:
            assert time.monotonic() < deadline, f"{name} did not write {word!r} within {seconds} s"
            time.sleep(1)

    def read(self, name, *files):
        """Files of a server's cgroup, read at once."""
        paths = " ".join(f"'{SLICE}/jupyterhub-singleuser@{name}.service/{file}'" for file in files)
        return self._host.check_output(f"cat {paths}")

    def count(self, name, file, key):
        return dict(line.split() for line in self.read(name, file).splitlines())[key]

    def in_memory(self, name):
        """How many bytes of files a server has in memory."""
        return int(self.count(name, "memory.stat", "file"))

    def processor_seconds(self, *names, over=10):
        """What each server uses of a processor, per second of the host's own clock."""
        files = " ".join(f"'{SLICE}/jupyterhub-singleuser@{name}.service/cpu.stat'" for name in names)
        look = f"cut -d ' ' -f 1 /proc/uptime; sed -n 's/^usage_usec //p' {files}"
        lines = [float(line) for line in self._host.check_output(f"{look}; sleep {over}; {look}").splitlines()]
        before, after = lines[: len(lines) // 2], lines[len(lines) // 2 :]
        seconds = after[0] - before[0]
        return [(end - begin) / 1e6 / seconds for begin, end in zip(before[1:], after[1:], strict=True)]
