# SPDX-License-Identifier: BSD-3-Clause
"""One small module for each kind of host or cloud that carries instances, behind the contract in ``base``."""
