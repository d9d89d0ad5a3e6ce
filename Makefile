# SPDX-License-Identifier: GPL-3.0-or-later
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Ansible takes twice as long to start where Python may not keep what it compiles; roles copy spawner/, so not there.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX := $(CURDIR)/build/pycache
export HYPOTHESIS_STORAGE_DIRECTORY := $(CURDIR)/build/hypothesis
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-down test lint unit faults sanity pylint molecule container trixie front environments hubs vm openstack bench bench-cloud docs lock clean

help: ## Say what can be made
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' Makefile | expand -t 12

setup: ## Make .venv with the pinned tools
	@tools/setup.sh

demo: ## Bring up a hub in a container (DEMO_PORT=8000)
	@tools/demo.sh up

demo-down: ## Remove the hub that 'make demo' made
	@tools/demo.sh down

test: lint unit faults pylint molecule container ## Run all tests

lint: setup ## Check the style of everything, ansible-test sanity included
	tools/lint.sh

unit: setup ## Run the tests that need no host
	cd spawner && PYTHONPATH=src pytest -n auto -p no:cacheprovider
	pytest -n auto -p no:cacheprovider tests/unit

faults: setup ## Kill, cut off and overrun hubs beside a fake cloud
	pytest -n auto -p no:cacheprovider tests/faults

sanity: setup ## Run ansible-test sanity alone
	tools/sanity.sh

pylint: setup ## Run the one test of ansible-test sanity that lint leaves out
	tools/sanity.sh --test pylint

molecule: setup ## Set up Debian hosts in containers, test them whole, and tear one down
	molecule test -s default --no-command-borders
	molecule test -s teardown --no-command-borders

container: setup ## Build a hub in one container, and test two of them side by side
	tools/container.sh
	pytest -p no:cacheprovider tests/container

trixie: setup ## Test a Debian 13 host as 'molecule' tests one of Debian 12
	DEBIAN=trixie molecule test -s default --no-command-borders

front: setup ## Test ways to sign in and HTTPS, each a run of the playbook (a quarter of an hour)
	molecule test -s front --no-command-borders

environments: setup ## Test environments of repositories, of conda and with R (a quarter of an hour)
	molecule test -s environments --no-command-borders

hubs: setup ## Test two hubs on one host and behind one name (ten minutes)
	molecule test -s hubs --no-command-borders

vm: setup ## Test limits, what the kernel refuses, homes on volumes and hooks, in virtual machines (a quarter of an hour)
	molecule test -s vm --no-command-borders
	pytest -p no:cacheprovider tests/machine

openstack: setup ## Test machines and images in a real OpenStack, in a container (an hour)
	molecule test -s openstack --no-command-borders

bench: setup ## Measure
	bench/run.sh

bench-cloud: setup ## Measure on a simulated cloud (ARGUMENTS of bench/cloud.py)
	bench/cloud.sh $(ARGUMENTS)

docs: setup ## Write the reference into build/docs
	python tools/docs.py

lock: setup ## Make the lock files again (UPGRADE=1 for newer versions)
	tools/lock.sh

clean: demo-down ## Remove all that was made here: .venv, build, cached root file systems
	tools/clean.sh
