# SPDX-License-Identifier: BSD-3-Clause
"""What JupyterHub talks to."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import timezone
from functools import cache
from typing import Any

from jupyterhub.spawner import Spawner
from jupyterhub.utils import maybe_future, utcnow
from sqlalchemy import inspect
from sqlalchemy.orm import object_session
from tornado.web import HTTPError
from traitlets import Bool, Callable, Dict, Enum, Float, Integer, List, TraitError, Unicode, Union, default, validate

from . import form, naming, observability, options, overrides, profiles, startup, userdata
from .errors import StartRefused
from .fleet import Fleet, InstanceFailed
from .former_names import FormerNames
from .options import Capacity
from .providers import PROVIDERS
from .providers.base import Instance, LaunchRequest, Limits, Provider, ProviderError, ProviderUnreachable, State

STATE_VERSION = 1
_STOP_VARIABLE = "LIBCLOUDSPAWNER_STOP"
_STATE = ("instance_name", "instance_id", "request_id")

# What is left of start_timeout once a start has failed: half for reading the log, half for cleaning up.
_CLEANUP_SECONDS = 5
# As long as a start waits that was cancelled: JupyterHub stops the server a second later, which fails while it goes on.
_CANCELLED_SECONDS = 0.5
# Longer than a unit, or a machine with a volume, may take to stop; after that a user must be able to start anew.
_STOP_SECONDS = 120
# Listings may be some seconds old, so two looks have to be further apart than that.
_BUSY_SECONDS = 10


@cache
def _fleet_of(provider: str, settings: str) -> Fleet:
    """The one fleet of a provider with these settings, a JSON object."""
    return Fleet(PROVIDERS[provider](**json.loads(settings)))


class LibcloudSpawner(FormerNames, Spawner):
    """Gives every user an instance of their own."""

    provider = Enum(
        list(PROVIDERS),
        help="""
        What carries the instances.

        `systemd`: a service of this host, started through the host's control helper. `openstack`: a machine of an
        OpenStack cloud, through Apache Libcloud; the default when one of the settings for clouds is there. `local`: a
        process beside the hub, under the hub's own account, for containers and trials; nothing keeps its users apart.
        """,
    ).tag(config=True)

    libcloud_driver_params: Dict[str, Any] = Dict(
        help="""
        How to reach the cloud and sign in to it: what Apache Libcloud's OpenStack driver is made with.

        `arg_user_id` and `arg_key` are a user and password, or, with `ex_force_auth_version` `3.x_appcred`, the id and
        secret of an application credential; `ex_force_auth_url`, `ex_tenant_name` (the project), `ex_domain_name`,
        `ex_force_service_region` as Libcloud documents them. `verify_ssl_cert` may be the path of a file of
        certificates to trust. Use a credential that is restricted to one project.
        """,
    ).tag(config=True)

    cloud_name = Unicode(
        help="""
        Name of a cloud in a `clouds.yaml`, for what `libcloud_driver_params` leaves out.
        """,
    ).tag(config=True)

    cloud_config_file = Unicode(
        help="""
        Path of that `clouds.yaml`. By default where OpenStack's own tools look for it.
        """,
    ).tag(config=True)

    userserver_net = Unicode(
        help="""
        Name of the network that machines are connected to. The hub has to reach them there, on port 8000.
        """,
    ).tag(config=True)

    userserver_keyname = Unicode(
        help="""
        Name of the key pair whose owner may log in to machines by SSH. Empty is none.
        """,
    ).tag(config=True)

    userserver_security_groups: List[str] = List(
        Unicode(),
        help="""
        Names of the security groups of machines. They have to let the hub in on port 8000, and nobody else.
        """,
    ).tag(config=True)

    userserver_availability_zone = Unicode(
        help="""
        Name of the availability zone that machines are made in. Empty leaves it to the cloud.
        """,
    ).tag(config=True)

    userserver_config_drive = Bool(
        False,
        help="""
        Give machines their user data on a drive rather than by the cloud's metadata service.
        """,
    ).tag(config=True)

    userdata_template_module = Unicode(
        userdata.OWN_MODULE,
        help="""
        Python module, on the hub's PYTHONPATH, whose folder `data` holds the administrator's own templates.

        A template `options_form.html.j2` in it takes the place of the form.
        """,
    ).tag(config=True)

    userdata_template_name = Unicode(
        help="""
        Jinja2 template of the user data that machines boot with, in the folder `data` of `userdata_template_module`.

        Its variables are `jhub_env` (a dictionary), `user`, `notebookargs`, `volume` (the id of the volume that it has
        to mount as the home, or empty), `volume_is_used` (whether a server has had it: then it must never be formatted)
        and `user_options_from_form`. Empty is the default, which prepares Debian and
        Ubuntu images.
        """,
    ).tag(config=True)

    forceuser = Unicode(
        help="""
        Unix account that all servers run under, on machines of their own. Empty is an account named after the user.
        """,
    ).tag(config=True)

    hub_id = Unicode(
        "jupyterhub",
        help="""
        What marks an instance as this hub's.

        Two hubs that share a host or a cloud project need different ones. Lower case letters, digits and
        dashes. Instances of another hub are never shown or touched; so changing it leaves running ones alone.
        """,
    ).tag(config=True)

    control_socket = Unicode(
        "/run/jupyterhub-singleuserctl.sock",
        help="""
        Path of the socket of the host's control helper, for the provider `systemd`.
        """,
    ).tag(config=True)

    local_folder = Unicode(
        "singleuser",
        help="""
        Path of the folder for the records and logs of running servers, for the provider `local`. It is made when it is
        missing, and should not outlive the host or container: `/run` or `/tmp` is the place.
        """,
    ).tag(config=True)

    local_environments = Unicode(
        help="""
        Path of the folder that holds the Python environments by name, for the provider `local`. Empty is one
        environment, `default`: that of the hub itself.
        """,
    ).tag(config=True)

    home_dir_template = Unicode(
        "homes/{USERNAME}",
        help="""
        Path of a user's home, for the provider `local`. It is made when it is missing.

        `{USERNAME}` and `{USERID}` are filled in.
        """,
    ).tag(config=True)

    username_template = Unicode(
        help="""
        Name of the Unix account that a user's servers run under: `jupyter-{USERNAME}` on a host that users share,
        `{USERNAME}` on a machine of their own.

        `{USERNAME}` becomes the user's name, made valid and kept distinct; `{USERID}` the hub's number of the
        user; between them belongs a dash or a letter. The host refuses new accounts that do not begin with the prefix
        it was given.
        """,
    ).tag(config=True)

    userserver_sizes: List[Any] = List(
        help="""
        Sizes that a user chooses from.

        A list of pairs `("Display name", "name")`, or of dictionaries with the keys `name`, `display_name`,
        `description`, `default` (one of them may be true; else the first is preselected), `mem_limit`
        (bytes, or text such as "2G"), `cpu_limit` (processors, such as 0.5) and `tasks_limit`. Limits that a
        size leaves out are those of the settings `mem_limit`, `cpu_limit` and `tasks_limit`. An empty list
        leaves no choice.
        """,
    ).tag(config=True)

    userserver_images: List[Any] = List(
        help="""
        Environments or images that a user chooses from.

        A list of pairs `("Display name", "name")`, or of dictionaries with the keys `name`, `display_name`,
        `description`, `default` and `tag`. With the provider `systemd` the name is that of an environment of
        the node; an empty list means the environment `default`. With a tag, the image of the cloud is called by
        name, dash and tag, and users choose it by its name alone.
        """,
    ).tag(config=True)

    image = Unicode(
        help="""
        Name of the environment or image of every server. Empty leaves it to `userserver_images`; profiles may set it.
        """,
    ).tag(config=True)

    size = Unicode(
        help="""
        Name of the size of every server. Empty leaves it to `userserver_sizes`; profiles may set it.
        """,
    ).tag(config=True)

    profile_list: Any = Union(
        [List(), Dict(), Callable()],
        help="""
        Profiles that a user chooses from, as KubeSpawner's: one made for it works as it stands.

        A list of dictionaries with the keys `display_name`, `slug`, `description`, `default`, `spawner_override`
        (`kubespawner_override` is the same) and `profile_options`; or a dictionary of them by slug; or a callable that
        takes the spawner and returns one of these, and may be asynchronous. An override holds settings of the spawner
        such as `image`, `size`, `mem_limit`, `cpu_limit`, `environment`, `default_url` or `start_timeout`, or callables
        that take the spawner and return one; dictionaries are merged, and None removes a key. What has a meaning on
        Kubernetes alone is left out, which the log says. `profile_options` is a dictionary of options with
        `display_name`, `choices` and `unlisted_choice`. What a profile sets goes before the size and image chosen.
        """,
    ).tag(config=True)

    profile_form_template = Unicode(
        help="""
        Jinja2 template of a form of your own, with the variables `profile_list` and `user_options`. Its fields are
        `profile`, `profile-option-SLUG--OPTION` and `profile-option-SLUG--OPTION--unlisted-choice`.
        """,
    ).tag(config=True)

    tasks_limit = Integer(
        2048,
        min=0,
        help="""
        Most processes and threads that an instance may have; 0 is no limit. A size may say otherwise.
        """,
    ).tag(config=True)

    unit_name_template = Unicode(
        "{USERNAME}",
        help="""
        Name of a user's instance: the unit is `jupyterhub-singleuser@NAME.service`.

        `{USERNAME}` becomes the user's name, `{USERID}` the hub's number of the user, `{SERVERNAME}` the name of the
        server; between the first two belongs a dash or a letter. Where a name could be invalid or another's, a digest
        is added.
        """,
    ).tag(config=True)

    unit_extra_properties: Dict[str, Any] = Dict(
        help="""
        Settings of the unit, as systemd.resource-control(5) and systemd.exec(5) name them, for the provider `systemd`.

        Such as `{"IOWeight": "50", "LimitNOFILE": "4096", "Nice": "5"}`; a list repeats the setting, `{USERNAME}` and
        `{USERID}` are filled in. The host takes resource controls and further restrictions, and refuses by name what
        could give a server more than it has; for that, its administrator has the role variable
        `node_unit_properties`.
        """,
    ).tag(config=True)

    isolate_tmp = Bool(
        True,
        help="""
        Give each server a `/tmp` of its own, for the provider `systemd`.
        """,
    ).tag(config=True)

    isolate_devices = Bool(
        True,
        help="""
        Give each server a `/dev` of its own, without disks and GPUs, for the provider `systemd`.

        False lets it use the host's devices as far as their permissions let its account.
        """,
    ).tag(config=True)

    readonly_paths: List[str] = List(
        Unicode(),
        help="""
        Paths that a server may read and not write, for the provider `systemd`: parts of what `readwrite_paths` opens.

        The system is read-only in any case. `{USERNAME}` and `{USERID}` are filled in; a dash before a path lets it be
        missing.
        """,
    ).tag(config=True)

    readwrite_paths: List[str] = List(
        Unicode(),
        help="""
        Paths beside its home that a server may write, for the provider `systemd`.

        Permissions of files hold as ever; other homes stay out of sight. `{USERNAME}` and `{USERID}` are filled in; a
        dash before a path lets it be missing.
        """,
    ).tag(config=True)

    slice = Unicode(
        help="""
        Slice that servers run in, for the provider `systemd`: one below `jupyterhub-singleuser`, such as
        `jupyterhub-singleuser-gpu`, or one that the role variable `node_slices` names. Empty is
        `jupyterhub-singleuser`.
        """,
    ).tag(config=True)

    user_workingdir = Unicode(
        help="""
        Folder that a server starts in, for the providers `systemd` and `local`; it has to be there. Empty is the home.

        `{USERNAME}` and `{USERID}` are filled in. With `systemd`, a folder outside of the home is read-only unless
        `readwrite_paths` holds it.
        """,
    ).tag(config=True)

    storage_type = Enum(
        ["home", "none", "volume"],
        default_value="home",
        help="""
        Where the files of users are.

        `home`: in a folder of the node, which stays when a server stops; with the provider `openstack`, on the disk of
        the machine, which goes with it. `none`: gone when the server stops; with the provider `systemd` in memory, with
        room for half of the server's `mem_limit`, or for 1 GiB, and a home that is there stays as it is, out of sight.
        `volume`, for the provider `openstack`: on a volume of the cloud (Cinder), made at the first start of each
        server of a user, attached to the machine, formatted only when it is blank, and kept when the server stops.
        """,
    ).tag(config=True)

    storage_capacity = Capacity(
        10 * 2**30,
        help="""
        How much a volume holds, such as `10Gi` or `500G`, for the `storage_type` `volume`; it is rounded up to
        whole GiB.

        It applies to volumes that are made from now on: one that is there stays as it is.
        """,
    ).tag(config=True)

    storage_volume_type = Unicode(
        help="""
        Name of the type of volume, as the cloud has it, for the `storage_type` `volume`. Empty leaves it to the cloud.
        """,
    ).tag(config=True)

    volume_retention_days = Integer(
        -1,
        min=-1,
        help="""
        For how many days a volume is kept once its user, or the named server that it belongs to, was deleted from the
        hub. 0 deletes it at once; -1 keeps it for good, and for who comes back under this name.
        """,
    ).tag(config=True)

    busy_cpu = Float(
        0.1,
        min=0,
        help="""
        How much of a processor the processes of a server have to use, on average between two looks at it, for the
        server to count as used, for the provider `systemd`; 0 is never.

        JupyterHub itself notices pages that are open and kernels that write something, and what stops servers that
        nobody uses goes by that. What computes in silence is not stopped either.
        """,
    ).tag(config=True)

    max_age = Integer(
        min=0,
        help="""
        After how many seconds servers are stopped even in use, by what stops servers that nobody uses; 0 is never.

        The spawner itself stops none. It tells the server, in the variable `LIBCLOUDSPAWNER_STOP`, whose pages say so
        where the environment holds what the role `environment` puts there.
        """,
    ).tag(config=True)

    max_age_notice = Integer(
        600,
        min=0,
        help="""
        How many seconds before the end of `max_age` the pages of a server say that it will be stopped; 0 is never.
        """,
    ).tag(config=True)

    max_age_delay = Integer(
        min=0,
        help="""
        How many seconds after the end of `max_age` a server may be stopped at the latest: how often one looks.
        """,
    ).tag(config=True)

    # What finds the instance again, whatever the settings say by then.
    instance_name = ""
    instance_id = ""
    request_id = ""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._is_starting = False
        self._progress = _Progress()
        self._choices: dict[str, str] | None = None
        # What was on offer before a choice was applied: a start that fails shows the form again.
        self._offered: tuple[list[options.Size], list[options.Image]] | None = None
        self._storage_before = ""
        self._origin = self._provider_settings
        # What the processes had used when they were last looked at, and when that was.
        self._cpu_seen: tuple[float, float] | None = None

    @validate("userserver_sizes")
    def _check_sizes(self, proposal: Any) -> Any:
        options.parse_sizes(proposal.value)
        return proposal.value

    @validate("userserver_images")
    def _check_images(self, proposal: Any) -> Any:
        options.parse_images(proposal.value)
        return proposal.value

    @validate("username_template")
    def _check_username_template(self, proposal: Any) -> Any:
        naming.check_account_template(proposal.value)
        return proposal.value

    @validate("unit_name_template")
    def _check_unit_name_template(self, proposal: Any) -> Any:
        naming.check_unit_template(proposal.value)
        return proposal.value

    @validate("hub_id")
    def _check_hub_id(self, proposal: Any) -> str:
        if naming.slug(proposal.value) != proposal.value:
            raise TraitError(f"hub_id must be lower case letters, digits and single dashes, but is {proposal.value!r}.")
        return str(proposal.value)

    @default("options_form")
    def _default_options_form(self) -> Any:
        return self._render_options_form

    @default("options_from_form")
    def _default_options_from_form(self) -> Any:
        return form.from_form

    @default("apply_user_options")
    def _default_apply_user_options(self) -> Any:
        return lambda spawner, user_options: spawner._apply(user_options)

    @default("provider")
    def _default_provider(self) -> str:
        for_clouds = (self.libcloud_driver_params, self.cloud_name, self.cloud_config_file, self.userserver_net)
        return "openstack" if any(for_clouds) else "systemd"

    @default("username_template")
    def _default_username_template(self) -> str:
        return self._provider_class.ACCOUNT

    @default("mem_guarantee")
    def _default_mem_guarantee(self) -> int | None:
        return self._provider_class.MEMORY_GUARANTEE_BYTES

    @default("ip")
    def _default_ip(self) -> str:
        return self._provider_class.BIND_ADDRESS

    @default("port")
    def _default_port(self) -> int:
        return self._provider_class.PORT

    @property
    def _provider_class(self) -> type[Provider]:
        return PROVIDERS[self.provider]

    @property
    def _provider_settings(self) -> tuple[str, str]:
        settings = {name: getattr(self, name) for name in self._provider_class.SETTINGS}
        return self.provider, json.dumps(settings, sort_keys=True)

    @property
    def _fleet(self) -> Fleet:
        return _fleet_of(*self._provider_settings)

    def check_settings(self) -> None:
        """Raises ValueError or TraitError, with a sentence, if no server could ever start with these settings."""
        self._fleet  # noqa: B018 - that it can be made is what is checked
        self._check_storage(self.storage_type, "storage_type")
        userdata.check_template(self.userdata_template_module, self.userdata_template_name)
        for name, fixed in (("userserver_sizes", self.size), ("userserver_images", self.image)):
            if name in self._provider_class.REQUIRED and not (getattr(self, name) or fixed or self.profile_list):
                raise TraitError(f"{name} is empty: name at least one, as the cloud calls it.")
        if not callable(self.profile_list):
            profiles.parse(self.profile_list, self._check_override)

    @classmethod
    def _begin(cls, app: Any) -> None:
        """Tell what is wrong before any user does, and clear away what an earlier hub left."""
        if issubclass(app.spawner_class, cls):
            spawner = app.spawner_class(parent=app)
            spawner.check_settings()
            spawner._fleet.keep_house()
            if warning := spawner._warning:
                said = app.template_vars.get("announcement_home", app.template_vars.get("announcement"))
                app.template_vars["announcement_home"] = f"{said}<br>{warning}" if said else warning

    @property
    def _keeps_files(self) -> bool:
        return self._provider_class.STORAGE.get(self._storage_before or self.storage_type, False)

    @property
    def _warning(self) -> str:
        """What users have to know who do not see yet which server they will have; empty if all keep their files."""
        others = _values_of("storage_type", [self.profile_list, self.group_overrides])
        kept = {self._keeps_files, *(self._provider_class.STORAGE.get(str(one), False) for one in others)}
        return {True: "", False: form.FILES_END}[kept.pop()] if len(kept) == 1 else form.SOME_FILES_END

    def _check_storage(self, wanted: Any, where: str) -> None:
        """Raises TraitError if the provider has no such storage; what depends on the user is checked at a start."""
        known = self._provider_class.STORAGE
        if callable(wanted) or "{value}" in str(wanted) or wanted in known:
            return
        others = [name for name, provider in PROVIDERS.items() if wanted in provider.STORAGE]
        raise TraitError(
            f"{where}: {wanted} is for the provider {' and '.join(others)}, not for {self.provider}. Here it may be "
            f"{' or '.join(known)}."
        )

    @property
    def _offers(self) -> tuple[list[options.Size], list[options.Image]]:
        """The sizes and the images that a user can choose from; none of what an administrator has fixed."""
        return self._offered or (
            [] if self.size else options.parse_sizes(self.userserver_sizes),
            [] if self.image else options.parse_images(self.userserver_images),
        )

    async def _profiles(self) -> list[profiles.Profile]:
        listed = self.profile_list
        if callable(listed):
            listed = await maybe_future(listed(self))
        return profiles.parse(listed or [], self._check_override)

    def _check_override(self, override: profiles.Override, where: str) -> profiles.Override:
        same_for_all = {
            "provider",
            "profile_list",
            "max_age",
            "max_age_delay",
            *(name for one in PROVIDERS.values() for name in one.SETTINGS),
        }
        kept = overrides.check(self, same_for_all, override, where)
        if "storage_type" in kept:
            self._check_storage(kept["storage_type"], f"{where}: storage_type")
        return kept

    async def _apply(self, user_options: Any) -> None:
        """Take on what the user chose: first size and image, and then what a profile says otherwise."""
        self._offered = self._offers
        self._storage_before = self._storage_before or self.storage_type
        choice = options.choose(user_options, *self._offered)
        profile = profiles.choose(user_options, await self._profiles())
        self._choices = {**options.named(choice), **(profile.named if profile else {})}
        size = choice.size.override | {"size": choice.size.name} if choice.size else {}
        image = {"image": choice.image.full_name} if choice.image else {}
        for override in (size, image, *(profile.overrides if profile else ())):
            self._apply_overrides(override)

    async def _render_options_form(self, spawner: Spawner) -> str:
        offered = await self._profiles()
        last = self.orm_spawner.user_options or {}
        sizes, images = self._offers
        try:
            current = options.choose(last, sizes, images)
            profiles.choose(last, offered)
        except StartRefused:
            # What was chosen last time is no longer offered; kept, it would fail every start that shows no form.
            self.orm_spawner.user_options = {}
            current = options.choose({}, sizes, images)
        is_own = self.userdata_template_module == userdata.OWN_MODULE
        return form.render_form(
            sizes,
            images,
            offered,
            current,
            profiles.shown(last, offered),
            None if is_own else userdata.data_folder(self.userdata_template_module),
            self.profile_form_template,
            keeps_files=self._keeps_files,
            notice="" if self._keeps_files else self._warning,
            storage=self._provider_class.STORAGE,
        )

    @property
    def _limits(self) -> Limits:
        return Limits(
            memory_bytes=self.mem_limit or None,
            cpus=self.cpu_limit or None,
            tasks=self.tasks_limit or None,
            memory_guarantee_bytes=_within(self.mem_guarantee, self.mem_limit),
            cpu_guarantee=_within(self.cpu_guarantee, self.cpu_limit),
        )

    def get_env(self) -> dict[str, str]:
        """JupyterHub's variables, as text, with guarantees within the limits."""
        env: dict[str, Any] = super().get_env()
        limits = self._limits
        for name, value in (
            ("MEM_GUARANTEE", limits.memory_guarantee_bytes),
            ("CPU_GUARANTEE", limits.cpu_guarantee),
        ):
            if value and name not in self.environment:
                env[name] = value
        if self.max_age and self.max_age_notice:
            env[_STOP_VARIABLE] = json.dumps(self._stop_notice)
        return {name: str(value) for name, value in env.items()}

    @property
    def _stop_notice(self) -> dict[str, Any]:
        """When the server is stopped for its age, for its pages; in seconds."""
        # The hub counts from before the start, in UTC, and so does what stops the server.
        started = self.orm_spawner.started.replace(tzinfo=timezone.utc).timestamp()
        return {
            "at": int(started) + self.max_age,
            "every": self.max_age_delay,
            "notice": self.max_age_notice,
            "max_age": self.max_age,
            "keeps_files": self._provider_class.STORAGE.get(self.storage_type, False),
        }

    def _request(self) -> LaunchRequest:
        return LaunchRequest(
            name=naming.instance_name(self.user.name, self.name, self.unit_name_template, self.user.id),
            request_id=uuid.uuid4().hex,
            user=self.user.name,
            server=self.name,
            account=self._account,
            image=self.image or "default",
            size=self.size,
            limits=self._limits,
            command=(*(self.cmd or ["jupyterhub-singleuser"]), *self.get_args()),
            environment=self.get_env(),
            bind_address=self.ip or "0.0.0.0",
            port=self.port,
            groups=tuple(sorted(group.name for group in self.user.groups)),
            placement={
                name: naming.filled(getattr(self, name), self.user.name, self.user.id)
                for name in self._provider_class.PLACEMENT
            },
            choices=self._choices or {},
            report=self._report,
        )

    @property
    def _account(self) -> str:
        return self.forceuser or naming.account_name(self.username_template, self.user.name, self.user.id)

    async def delete_forever(self) -> None:
        """Take away the home of a user or server that is deleted, as the node or the cloud has it."""
        observability.tell(self.log, "forget", user=self.user.name, server=self.name)
        whose = (self.user.name, self.name, self._account)
        if not any(spawner.active for spawner in self.user.spawners.values()):
            await self._fleet.forget(*whose)
        elif self.name:
            # Deleted by itself; or with its user, and then JupyterHub breaks off at the server that runs.
            entry = inspect(self.orm_spawner)
            self._fleet.forget_once(lambda: not entry.persistent, *whose)
        else:
            raise RuntimeError(f"Nothing of {self._log_name} is taken away: its user has a server that runs.")

    async def rename(self, old_name: str, new_name: str) -> None:
        """Let a server keep its files under another name. Raises HTTPError if it cannot: then it keeps its name."""
        observability.tell(self.log, "rename", user=self.user.name, server=old_name, to=new_name)
        try:
            await self._fleet.rename(self.user.name, old_name, new_name)
        except ProviderError as error:
            message = f"The files of this server cannot go with it: {error}"
            raise HTTPError(503, message.replace("%", "%%")) from error

    async def start(self) -> str:
        """Launch an instance, wait until its server listens, and return its URL.

        Whatever goes wrong, nothing of it stays behind; what takes longer to go does so in the background.
        """
        # An administrator may have replaced apply_user_options; what a user may choose is checked all the same.
        if self._choices is None:
            await self._apply(self.user_options)
        if self._provider_settings != self._origin:
            # After a restart of the hub nobody would look for the server where it runs.
            raise StartRefused(
                "How the hub reaches its servers cannot differ from user to user: an administrator has to mend the "
                "overrides.",
                reason="overrides",
                status_code=500,
            )
        try:
            self._check_storage(self.storage_type, "storage_type")
        except TraitError as error:
            raise StartRefused(str(error), reason="overrides", status_code=500) from error
        request = self._request()
        self._loop = asyncio.get_running_loop()
        self._is_starting = True
        if self._progress.is_over:
            self._progress = _Progress()
        self.instance_name, self.request_id = request.name, request.request_id
        began = time.monotonic()
        whose = self._whose
        observability.STARTS.inc()
        observability.tell(self.log, "start", **whose, image=request.image, size=request.size)
        try:
            url = await self._start(request)
        except BaseException as error:
            seconds = time.monotonic() - began
            # JupyterHub ends a start that takes too long as it ends one that its user gave up.
            reason = "timeout" if seconds >= self.start_timeout else _reason(error)
            observability.START_FAILURES.labels(reason).inc()
            observability.tell(self.log, "start-failed", **whose, reason=reason, seconds=round(seconds, 3))
            was_cancelled = isinstance(error, asyncio.CancelledError)
            await self._clean_up(_CANCELLED_SECONDS if was_cancelled else _CLEANUP_SECONDS / 2)
            raise
        else:
            observability.tell(self.log, "ready", **whose, seconds=round(time.monotonic() - began, 3))
            return url
        finally:
            self._is_starting = False
            self._progress.end()

    @property
    def _whose(self) -> dict[str, str]:
        """What events say of this server."""
        return {
            "user": self.user.name,
            "server": self.name,
            "instance": self.instance_name,
            "request": self.request_id,
        }

    async def _start(self, request: LaunchRequest) -> str:
        began = time.monotonic()
        self._progress.add(5, f"Preparing your server: {_in_words(request)}.")
        try:
            instance = await self._fleet.launch(request)
            self.instance_id = instance.id
            created = time.monotonic()
            observability.PHASE_SECONDS.labels("create").observe(created - began)
            message = "Your server was started. Waiting until it answers."
            self._progress.add(40, message if instance.address else "It is being built.")
            seconds = max(self.start_timeout - _CLEANUP_SECONDS, self.start_timeout / 2)
            left = seconds - (time.monotonic() - began)
            instance = await self._fleet.wait_until_ready(instance, left, self._report_change)
            observability.PHASE_SECONDS.labels("answer").observe(time.monotonic() - created)
            self._fleet.notice_use(instance)
        except ProviderUnreachable as error:
            # Nothing was created, so there is nothing that a stop could wait for.
            self.instance_name = self.request_id = ""
            self.log.error("%s cannot be started: %s", self._log_name, error)
            message = "The host of your server cannot be reached. Try again in a minute."
            raise StartRefused(message, reason=error.reason, status_code=503) from error
        except ProviderError as error:
            raise StartRefused(str(error), reason=error.reason, status_code=500) from error
        except InstanceFailed as error:
            raise StartRefused(str(error), reason="instance-failed", status_code=500) from error
        self._progress.add(90, "Your server answers. Opening it.")
        return _url(instance)

    def _report(self, percent: int, message: str) -> None:
        """A step of the start, from whatever thread."""
        self._loop.call_soon_threadsafe(lambda: self._progress.add(percent, message))

    def _report_change(self, instance: Instance) -> None:
        if instance.state is State.RUNNING:
            self._progress.add(60, "It is running. Waiting until your server answers.")

    async def stop(self, now: bool = False) -> None:
        """Destroy the instance; its home stays. Returns when it is gone, or goes on trying in the background."""
        if not self.request_id:
            return
        whose = self._whose
        observability.tell(self.log, "stop", **whose)
        destruction = self._fleet.destroy_in_background(self.request_id, self.instance_name)
        destruction.add_done_callback(lambda _: observability.tell(self.log, "stopped", **whose))
        await asyncio.wait([destruction], timeout=_STOP_SECONDS)
        if not destruction.done():
            self.log.error("%s is not gone after %d s; trying on in the background.", self._log_name, _STOP_SECONDS)
        self._revoke_forgotten_token()

    async def poll(self) -> int | None:
        """None unless the instance is known to be gone: whatever is unclear counts as running."""
        if self._is_starting:
            return None
        if not self.request_id:
            # A hub that was killed during a start knows neither its instance nor its token any more.
            self._revoke_forgotten_token()
            return 0
        try:
            instance = await self._fleet.exists(self.request_id, self.instance_id)
        except ProviderError as error:
            self.log.warning("Nothing is known of %s, so it counts as running: %s", self._log_name, error)
            return None
        except Exception:
            self.log.exception("Nothing is known of %s, so it counts as running", self._log_name)
            return None
        if instance and instance.state not in (State.STOPPED, State.FAILED):
            self._notice_use(instance)
            return None
        observability.tell(self.log, "gone", **self._whose, state=instance.state.value if instance else "")
        # JupyterHub does not call stop() for what is gone, yet files of it may be left.
        try:
            await self._clean_up(_CLEANUP_SECONDS / 2)
            self._revoke_forgotten_token()
        except Exception:
            self.log.exception("%s is gone, but something of it may be left", self._log_name)
        return instance.exit_status if instance else 0

    def _notice_use(self, instance: Instance) -> None:
        """Count the server as used if its processes have been busy since the last look."""
        now, used = time.monotonic(), instance.cpu_seconds
        if used is None or not self.busy_cpu:
            return
        if self._cpu_seen is None:
            self._cpu_seen = (now, used)
        elif (seconds := now - self._cpu_seen[0]) >= _BUSY_SECONDS:
            if (used - self._cpu_seen[1]) / seconds >= self.busy_cpu:
                self.orm_spawner.last_activity = utcnow(with_tz=False)
                self.db.commit()
            self._cpu_seen = (now, used)

    async def _clean_up(self, patience: float) -> None:
        """Destroy the instance; what takes longer than so many seconds goes on in the background."""
        if self.request_id:
            destruction = self._fleet.destroy_in_background(self.request_id, self.instance_name)
            await asyncio.wait([destruction], timeout=patience)

    def _revoke_forgotten_token(self) -> None:
        """Delete the server's API token, which JupyterHub itself cannot find again after a restart of the hub."""
        if self.api_token or not self.server:
            return
        note = f"Server at {self.server.base_url}"
        tokens = [token for token in self.user.orm_user.api_tokens if token.note == note]
        for token in tokens:
            if session := object_session(token):
                session.delete(token)
                session.commit()

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """The steps of the start, as they happen; ends when the start ends."""
        async for event in self._progress.events():
            yield event

    def get_state(self) -> dict[str, Any]:
        state: dict[str, Any] = super().get_state()
        if self.request_id:
            state.update(version=STATE_VERSION, **{name: getattr(self, name) for name in _STATE})
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        for name in _STATE:
            setattr(self, name, state.get(name, ""))
        if self.request_id:
            self._fleet.claim(self.request_id)

    def clear_state(self) -> None:
        super().clear_state()
        if self.request_id:
            self._fleet.release(self.request_id)
        self.instance_name = self.instance_id = self.request_id = ""
        self._choices = None
        self._cpu_seen = None
        # JupyterHub clears the state before a start and a while before start() itself, and may have readers by then.
        self._progress = _Progress()


class _Progress:
    """What happened so far, for any number of readers."""

    def __init__(self) -> None:
        self._events: list[dict[str, Any]] = []
        self.is_over = False
        self._news = asyncio.Event()

    def add(self, percent: int, message: str) -> None:
        self._events.append({"progress": percent, "message": message})
        self._notify()

    def end(self) -> None:
        self.is_over = True
        self._notify()

    def _notify(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        position = 0
        while True:
            news = self._news
            while position < len(self._events):
                yield self._events[position]
                position += 1
            if self.is_over:
                return
            if news is self._news:
                await news.wait()


def _reason(error: BaseException) -> str:
    """One word for why a start failed."""
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    return str(getattr(error, "reason", "") or type(error).__name__)


def _within(guarantee: Any, limit: Any) -> Any:
    """What is kept for a server is at most what it may use."""
    return min(guarantee, limit or guarantee) if guarantee else None


def _in_words(request: LaunchRequest) -> str:
    size = options.Size("", "", mem_limit=request.limits.memory_bytes, cpu_limit=request.limits.cpus)
    return options.in_words(size) or "no limits"


def _values_of(key: str, nested: Any) -> list[Any]:
    """What stands under a key, however deep."""
    if isinstance(nested, Mapping):
        own = [nested[key]] if key in nested else []
        return own + [value for inner in nested.values() for value in _values_of(key, inner)]
    return [value for inner in nested for value in _values_of(key, inner)] if isinstance(nested, list) else []


def _url(instance: Instance) -> str:
    address = f"[{instance.address}]" if ":" in instance.address else instance.address
    return f"http://{address}:{instance.port}"


_spawner_class = LibcloudSpawner
del LibcloudSpawner


def __getattr__(name: str) -> Any:
    # JupyterHub imports this module before there is a hub, and has no hook at its start; but it takes the class from
    # here once more while the hub reads its configuration.
    if name != "LibcloudSpawner":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    startup.in_hub(_spawner_class._begin)
    return _spawner_class
