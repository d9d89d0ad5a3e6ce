# SPDX-License-Identifier: BSD-3-Clause
"""jupyterhub-idle-culler with a time for each profile: ``python -m libcloudspawner.culling --help``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from jupyterhub_idle_culler import IdleCuller
from traitlets import Dict, Integer, Unicode, default


def by_profile(seconds: Mapping[str, int], preselected: str) -> Callable[..., bool]:
    """What says whether a server is due; ``seconds`` are those of profiles that differ, by their slugs, 0 for never."""

    def is_due(*, inactive: timedelta, inactive_limit: int, server: Mapping[str, Any], **_: Any) -> bool:
        profile = (server.get("user_options") or {}).get("profile", preselected)
        limit = seconds.get(profile, inactive_limit)
        return limit > 0 and inactive.total_seconds() >= limit

    return is_due


class ProfileCuller(IdleCuller):
    """Stops servers that nobody uses."""

    name = "jupyterhub-idle-culler"
    profile_timeouts = Dict(
        key_trait=Unicode(),
        value_trait=Integer(),
        config=True,
        help="""Time-outs of profiles that differ from ``timeout``.

        In seconds, by the slug of the profile; 0 is never.
        """,
    )

    default_profile = Unicode(
        config=True,
        help="""The profile of servers whose users chose none.

        Its slug. Empty is none.
        """,
    )

    @default("cull_arbiter_hook")
    def _by_profile(self) -> Any:
        return by_profile(self.profile_timeouts, self.default_profile)


if __name__ == "__main__":
    ProfileCuller.launch_instance()
