# SPDX-License-Identifier: BSD-3-Clause
"""What a machine's cloud-init gets: from a request for an instance to the text of its user data.

The default is built as data, so that no value of a user or of the hub can become a command. A template of the
administrator's own is text, so values that could become something else there are refused.
"""

from __future__ import annotations

import base64
import importlib.util
import re
import shlex
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import jinja2
import jupyterhub
import yaml
from traitlets import TraitError

from .providers.base import LaunchRequest, ProviderError
from .rendering import render as render_shared

OWN_MODULE = "libcloudspawner"

_FOLDER = "/etc/jupyterhub-singleuser"
_ENVIRONMENTS = "/opt/jupyterhub-singleuser/environments"
_SETUP = "/usr/local/libexec/jupyterhub-singleuser-setup"
_START = "/usr/local/libexec/jupyterhub-singleuser-start"
_HOME = "/usr/local/libexec/jupyterhub-singleuser-home"
_HOME_UNIT = "jupyterhub-singleuser-home.service"
# Of an image that the role node prepared.
_HOOKS = "/usr/local/libexec/jupyterhub-singleuser-hooks"
_ROOT_HOOKS = f"{_FOLDER}/hooks.json"
_BEFORE_UNIT = "jupyterhub-singleuser-before.service"
_BESIDE_UNIT = "jupyterhub-singleuser-beside.service"
# Of a start that fails, the hub shows what the console says.
_TO_CONSOLE = ("StandardOutput=journal+console", "StandardError=journal+console")
# A little longer than the role node lets hooks before the end take.
_STOP_SECONDS = 50
# The other one takes 20 ms of a processor for each start, which fifty starts at once feel.
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
# Nova takes 64 KiB, encoded.
_MOST_BYTES = 65535

_ACCOUNT = re.compile(r"[a-z_][a-z0-9_.-]{0,31}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# ref: https://github.com/systemd/systemd/blob/v252/src/basic/env-util.c (env_value_is_valid)
_DROPPED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
# What a shell's here-document or a file of variables would read as something else than itself.
_CHANGES_MEANING = re.compile(r"[\x00-\x1f\x7f$`\\]|^[\s\"']|[\s]$")


def render(request: LaunchRequest, volume: str = "", *, is_used: bool = False) -> str:
    """The user data for ``request``, with the home on the volume of this id, if there is one.

    A volume that ``is_used`` is never formatted.

    Raises ProviderError, naming the variable that cannot be passed on.
    """
    module = str(request.placement.get("userdata_template_module") or OWN_MODULE)
    name = str(request.placement.get("userdata_template_name") or "")
    text = _from_template(request, module, name, volume, is_used) if name else _cloud_config(request, volume, is_used)
    if len(base64.b64encode(text.encode())) > _MOST_BYTES:
        raise ProviderError(
            "The machine's user data is larger than a cloud takes (64 KiB, encoded).", reason="userdata"
        )
    return text


def check_template(module: str, name: str) -> None:
    """Raises TraitError unless the administrator's module and template are there and can be read."""
    if module != OWN_MODULE:
        data_folder(module)
    if not name:
        return
    try:
        _environment(module).get_template(name)
    except jinja2.TemplateNotFound:
        raise TraitError(
            f"userdata_template_name: there is no {name} in the folder {data_folder(module)} of the module {module}."
        ) from None
    except jinja2.TemplateSyntaxError as error:
        raise TraitError(f"userdata_template_name: {name}, line {error.lineno}: {error.message}") from None


def data_folder(module: str) -> Path:
    """The folder ``data`` of a Python module. Raises TraitError if there is no such module."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise TraitError(
            f"userdata_template_module: there is no Python module {module!r} with a folder data. It has to be on the "
            "hub's PYTHONPATH."
        )
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def _environment(module: str) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(data_folder(module)),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )


def _from_template(request: LaunchRequest, module: str, name: str, volume: str, is_used: bool) -> str:
    user = str(request.placement.get("forceuser") or request.user)
    arguments = shlex.join(request.command[1:])
    values = {**request.environment, "the user's name": user, "the server's arguments": arguments}
    for variable, value in values.items():
        if _CHANGES_MEANING.search(value):
            raise ProviderError(
                f"The value of {variable} holds a character that {name} could turn into something else: a quotation "
                "mark or space at its edge, a dollar sign, a backquote, a backslash or a control character.",
                reason="userdata",
            )
    _check_names(user, request.environment)
    template = _environment(module).get_template(name)
    try:
        text = template.render(
            jhub_env=dict(request.environment),
            user=user,
            notebookargs=arguments,
            volume=volume,
            volume_is_used=is_used,
            user_options_from_form={key: [str(value)] for key, value in request.choices.items()},
        )
    except jinja2.TemplateError as error:
        raise ProviderError(f"The template {name} does not work: {error.message}", reason="userdata") from error
    if volume not in text:
        raise ProviderError(
            f"The template {name} does not use the variable volume, so the machine would not have the files of its "
            "user.",
            reason="userdata",
        )
    return text


def _check_names(account: str, *environments: Mapping[str, str]) -> None:
    if not _ACCOUNT.fullmatch(account):
        raise ProviderError(f"{account!r} cannot be the name of a Unix account.", reason="userdata")
    for variable, value in chain.from_iterable(one.items() for one in environments):
        if not _VARIABLE.fullmatch(variable):
            raise ProviderError(f"{variable!r} cannot be the name of an environment variable.", reason="userdata")
        if _DROPPED.search(value):
            raise ProviderError(
                f"The value of {variable} holds a control character other than tab and newline: systemd cannot pass it "
                "on.",
                reason="userdata",
            )


def _cloud_config(request: LaunchRequest, volume: str, is_used: bool) -> str:
    _check_names(request.account, request.environment, _known(request))
    unit = _server_unit(request)
    path = f"{_ENVIRONMENTS}/default/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    variables = {"PATH": path, "SHELL": "/bin/bash", **request.environment}
    files: dict[str, tuple[str, str]] = {
        f"{_FOLDER}/{request.name}.env": (environment_file(variables), "0400"),
        "/etc/systemd/system/jupyterhub-singleuser@.service": (
            render_shared(
                "jupyterhub-singleuser@.service.j2",
                singleuser_slice="jupyterhub-singleuser.slice",
                singleuser_environment=f"{_ENVIRONMENTS}/default",
            ),
            "0644",
        ),
        f"/etc/systemd/system/{unit}.d/instance.conf": (_drop_in(request, volume), "0644"),
        f"/etc/systemd/system/{_BEFORE_UNIT}": (_before_unit(request, volume), "0644"),
        f"/etc/systemd/system/{_BESIDE_UNIT}": (_beside_unit(request, volume), "0644"),
        _SETUP: (render_shared("machine-setup.sh"), "0755"),
        _START: (render_shared("machine-start.sh"), "0755"),
    }
    if volume:
        files[_HOME] = (render_shared("machine-home.sh"), "0755")
        files[f"/etc/systemd/system/{_HOME_UNIT}"] = (_home_unit(request, volume, is_used), "0644")
    config: dict[str, Any] = {
        "write_files": [
            {
                "path": file,
                "encoding": "b64",
                "content": base64.b64encode(content.encode()).decode(),
                "owner": "root:root",
                "permissions": mode,
            }
            for file, (content, mode) in files.items()
        ],
        "runcmd": [
            [
                _SETUP,
                request.account,
                unit,
                jupyterhub.__version__,
                request.environment.get("JUPYTERHUB_API_URL", ""),
                _HOME_UNIT if volume else "",
            ]
        ],
    }
    return "#cloud-config\n" + str(yaml.dump(config, Dumper=_DUMPER, sort_keys=False, width=4096))


def environment_file(variables: Mapping[str, str]) -> str:
    """ref: systemd.exec(5), EnvironmentFile="""
    return "".join(
        '{}="{}"\n'.format(name, re.sub(r'(["\\$`])', r"\\\1", value)) for name, value in sorted(variables.items())
    )


def _home_unit(request: LaunchRequest, volume: str, is_used: bool) -> str:
    lines = [
        "[Unit]",
        "Description=Home of the single-user server on its volume",
        "[Service]",
        "Type=oneshot",
        "RemainAfterExit=yes",
        *_TO_CONSOLE,
        # A file system that has to be repaired takes its time.
        "TimeoutStartSec=infinity",
        f"ExecStart={_HOME} {quoted_word(volume)} {request.account}{' used' if is_used else ''}",
        "",
    ]
    return "\n".join(lines)


def _before_unit(request: LaunchRequest, volume: str) -> str:
    lines = [
        "[Unit]",
        "Description=Hooks of root before the start of the single-user server",
        f"ConditionPathExists={_ROOT_HOOKS}",
        "Wants=network-online.target",
        "After=network-online.target",
        *_after_home(request, volume),
        "[Service]",
        "Type=oneshot",
        "RemainAfterExit=yes",
        # Each has a time of its own.
        "TimeoutStartSec=infinity",
        *_for_root(request),
        f"ExecStart={_HOOKS} --root before_start",
        "",
    ]
    return "\n".join(lines)


def _beside_unit(request: LaunchRequest, volume: str) -> str:
    """It begins after the server, and so ends before it."""
    lines = [
        "[Unit]",
        "Description=Hooks of root beside the single-user server",
        f"ConditionPathExists={_ROOT_HOOKS}",
        f"After={_server_unit(request)}",
        *_after_home(request, volume),
        "[Service]",
        "Type=exec",
        "RemainAfterExit=yes",
        f"TimeoutStopSec={_STOP_SECONDS}",
        *_for_root(request),
        f"ExecCondition=/bin/systemctl is-active --quiet {_server_unit(request)}",
        f"ExecStart=-{_HOOKS} --root after_start",
        f"ExecStop=-{_HOOKS} --root before_stop",
        "",
    ]
    return "\n".join(lines)


def _for_root(request: LaunchRequest) -> list[str]:
    """What commands of root find; in the server's unit they would have its variables, such as LD_PRELOAD."""
    variables = [quoted_word(f"{name}={value}").replace("$$", "$") for name, value in _known(request).items()]
    return [*(f"Environment={variable}" for variable in variables), *_TO_CONSOLE]


def _known(request: LaunchRequest) -> dict[str, str]:
    """Whose server it is, as commands of root find it on a host too."""
    return {
        "JUPYTERHUB_USER": request.user,
        "JUPYTERHUB_SERVER_NAME": request.server,
        "SINGLEUSER_INSTANCE": request.name,
        "SINGLEUSER_ACCOUNT": request.account,
        "SINGLEUSER_HOME": f"/home/{request.account}",
    }


def _after_home(request: LaunchRequest, volume: str) -> list[str]:
    home = f"/home/{request.account}"
    # Without its volume there is no server, also when it is started again; and it ends before the home is unmounted.
    return [f"Requires={_HOME_UNIT}", f"After={_HOME_UNIT}", f"RequiresMountsFor={home}"] if volume else []


def _server_unit(request: LaunchRequest) -> str:
    return f"jupyterhub-singleuser@{request.name}.service"


def _drop_in(request: LaunchRequest, volume: str) -> str:
    home = f"/home/{request.account}"
    lines = [
        "[Unit]",
        f"Requires={_BEFORE_UNIT}",
        f"After={_BEFORE_UNIT}",
        f"Wants={_BESIDE_UNIT}",
        *_after_home(request, volume),
        "[Service]",
        f"User={request.account}",
        f"WorkingDirectory={home}",
        f"BindPaths={home}",
        f"ReadWritePaths={home}",
        *_TO_CONSOLE,
        # What the cloud knows of a machine holds the token of the server.
        "IPAddressDeny=169.254.169.254/32 fd00:ec2::254/128",
        "Restart=on-failure",
        "ExecStart=",
        f"ExecStart={_START} {' '.join(quoted_word(word) for word in request.command)}",
        "",
    ]
    return "\n".join(lines)


def quoted_word(word: str) -> str:
    """One word of a command line. ref: systemd.service(5), COMMAND LINES"""
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "$": "$$", "%": "%%"}
    return '"' + "".join(escapes.get(character, character) for character in word) + '"'
