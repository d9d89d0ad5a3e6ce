# SPDX-License-Identifier: BSD-3-Clause
"""The hubs of inventories/hubs, and the name that both are behind in the tests."""

NAME = "jupyter.example.test"
HUBS = ("physics", "chemistry")
