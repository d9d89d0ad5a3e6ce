# SPDX-License-Identifier: BSD-3-Clause
"""All that is served on the cloud's port."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tornado.web import Application

from . import cinder, control, glance, keystone, neutron, nova, web

if TYPE_CHECKING:
    from .cloud import FakeCloud


def application(cloud: FakeCloud) -> Application:
    services = (keystone.SERVICE, nova.SERVICE, glance.SERVICE, neutron.SERVICE, cinder.SERVICE)
    handlers: list[Any] = [route for service in services for route in web.routes(cloud, service)]
    handlers.append(("/control", control.Handler, {"cloud": cloud}))
    return Application(handlers, log_function=lambda _: None)
