# SPDX-License-Identifier: BSD-3-Clause
"""Which of the spawner's settings a profile may say otherwise."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Collection, Mapping
from typing import Any

from traitlets import HasTraits, TraitError

log = logging.getLogger(__name__)

# Settings of KubeSpawner for what only Kubernetes has; a list made for it works without them.
_KUBERNETES_ALONE = frozenset(
    """
    allow_privilege_escalation annotations automount_service_account_token common_labels container_security_context
    dns_name_template enable_user_namespaces events_enabled extra_annotations extra_container_config
    extra_containers extra_labels extra_pod_config extra_resource_guarantees extra_resource_limits fs_gid gid
    hub_connect_ip hub_connect_port image_pull_policy image_pull_secrets image_spec init_containers k8s_api_host
    k8s_api_request_retry_timeout k8s_api_request_timeout k8s_api_ssl_ca_cert k8s_api_threadpool_workers
    lifecycle_hooks namespace node_affinity_preferred node_affinity_required node_selector pod_affinity_preferred
    pod_affinity_required pod_anti_affinity_preferred pod_anti_affinity_required pod_name_template
    pod_security_context priority_class_name privileged pvc_name_template run_as_gid run_as_uid scheduler_name
    service_account storage_access_modes storage_class storage_extra_annotations
    storage_extra_labels storage_pvc_ensure storage_selector supplemental_gids tolerations uid volume_mounts volumes
    working_dir
    """.split()  # noqa: SIM905 - as a list it would be sixty lines
)

_told: set[str] = set()


def check(spawner: HasTraits, fixed: Collection[str], override: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What of ``override`` has a meaning for ``spawner``; of the rest that is known the log tells once.

    Raises TraitError for what is no setting, has a wrong value, or is one of ``fixed``, the same for all users.
    """
    kept = {}
    known = spawner.traits(config=True)
    for name, value in override.items():
        if name in fixed:
            raise TraitError(f"{where}: {name} is the same for all users; it cannot differ from profile to profile.")
        if name in known:
            _check_value(spawner, name, value, where)
            kept[name] = value
        elif name in _KUBERNETES_ALONE:
            _tell(f"{where}: {name} has a meaning on Kubernetes alone and has no effect here.")
        else:
            nearest = difflib.get_close_matches(str(name), known, 1)
            hint = f"; did you mean {nearest[0]}?" if nearest else "."
            raise TraitError(f"{where}: {name} is not a setting of {type(spawner).__name__}{hint}")
    return kept


def _check_value(spawner: HasTraits, name: str, value: Any, where: str) -> None:
    if callable(value) or "{value}" in str(value):
        return
    validate = getattr(spawner.traits()[name], "validate", None)
    try:
        if validate is not None:
            validate(spawner, value)
    except (TraitError, ValueError, TypeError) as error:
        raise TraitError(f"{where}: {error}") from None


def _tell(sentence: str) -> None:
    if sentence not in _told:
        _told.add(sentence)
        log.warning("%s", sentence)
