# SPDX-License-Identifier: GPL-3.0-or-later
"""Which container images an environment may be, beside a Podman that is a script."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "roles/environment/files"))

import container_image

LOOKED = {"python": "/opt/lab/bin/python3", "version": "3.12", "programs": "/opt/lab/bin", "jupyterhub": "6.0.2"}


@pytest.fixture
def podman(tmp_path):
    """Answers with what a test wrote, and notes what it was asked."""
    for name, answer in (
        ("pull", "sha256:0123\n"),
        ("build", "0123\n"),
        ("run", json.dumps(LOOKED)),
        ("inspect", json.dumps(["other.example.org/lab@sha256:9", "registry.example.org/lab@sha256:7"])),
        ("ps", ""),
        ("container", ""),
        ("rm", ""),
    ):
        (tmp_path / name).write_text(answer)
    program = tmp_path / "podman"
    program.write_text(
        f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n[ "$1" != image ] || shift\n'
        'case "$*" in *sha256:0ld*) echo manifest unknown >&2; exit 125 ;; esac\n'
        f'[ -e "{tmp_path}/$1" ] || {{ echo no such thing >&2; exit 125; }}\nexec cat "{tmp_path}/$1"\n'
    )
    program.chmod(0o755)
    return program


def asked(podman):
    return (podman.parent / "asked").read_text()


@pytest.mark.parametrize(
    ("reference", "is_fixed"),
    [
        ("registry.example.org/lab:2026-11-02", True),
        ("registry.example.org:5000/lab@sha256:0123", True),
        ("registry.example.org/lab:latest@sha256:0123", True),
        ("registry.example.org/lab:latest", False),
        ("registry.example.org:5000/lab", False),
        ("lab", False),
    ],
)
def test_a_reference_is_fixed_when_it_has_a_tag_or_digest(reference, is_fixed):
    assert container_image.is_fixed(reference) is is_fixed


def test_a_pulled_image_is_known_by_its_digest_from_then_on(podman, tmp_path):
    image = container_image.pull(podman, "registry.example.org/lab:2026-11", "6.1.1")
    assert (image.id, image.reference) == ("0123", "registry.example.org/lab@sha256:7")
    container_image.write_note(tmp_path, image)
    assert container_image.read_note(tmp_path) == image


def test_of_two_digests_the_one_is_taken_that_the_registry_knows(podman):
    name = "registry.example.org/lab"
    (podman.parent / "inspect").write_text(json.dumps([f"{name}@sha256:0ld", f"{name}@sha256:7"]))
    assert container_image.pull(podman, f"{name}:2026-11", "6.1.1").reference == f"{name}@sha256:7"


def test_an_environment_without_an_image_has_no_note(tmp_path):
    assert container_image.read_note(tmp_path) is None


def test_an_image_of_another_jupyterhub_is_refused_and_not_kept(podman):
    (podman.parent / "run").write_text(json.dumps(LOOKED | {"jupyterhub": "4.1.6"}))
    with pytest.raises(container_image.ImageError, match=r"holds jupyterhub 4\.1\.6, and the hub has 6.1.1"):
        container_image.pull(podman, "registry.example.org/lab:1", "6.1.1")
    assert "image rm --force sha256:0123" in asked(podman)


def test_an_image_that_a_container_runs_from_is_not_removed(podman):
    (podman.parent / "ps").write_text("4711\n")
    container_image.remove(podman, ["0123"])
    assert "image rm" not in asked(podman)


def test_images_that_no_environment_is_made_of_are_removed(podman):
    (podman.parent / "images").write_text("sha256:0123\nsha256:4567\n")
    container_image.remove_others(podman, ["0123"])
    assert "image rm --force 4567" in asked(podman)
    assert "image rm --force 0123" not in asked(podman)


def test_what_cannot_be_pulled_is_said_with_podmans_own_words(podman):
    (podman.parent / "pull").unlink()
    with pytest.raises(container_image.ImageError, match="lab:1 cannot be pulled: no such thing"):
        container_image.pull(podman, "registry.example.org/lab:1", "6.1.1")


@pytest.mark.parametrize(
    ("dockerfile", "loose"),
    [
        ("FROM python:3.12 AS base\nFROM base\n", ""),
        ("FROM --platform=linux/amd64 python@sha256:01\n", ""),
        ("ARG TAG=1\nFROM python:$TAG\n", ""),
        ("FROM scratch\n", ""),
        ("from python\n", "python"),
        ("FROM python:3.12 AS base\nFROM jupyter/lab:latest\n", "jupyter/lab:latest"),
    ],
)
def test_a_dockerfile_names_what_it_builds_on(podman, tmp_path, dockerfile, loose):
    file = tmp_path / "Dockerfile"
    file.write_text(dockerfile)
    if loose:
        with pytest.raises(container_image.ImageError, match=f"builds on {loose}, which may be another"):
            container_image.build(podman, tmp_path, file, "localhost/x:1", "6.1.1")
    else:
        assert container_image.build(podman, tmp_path, file, "localhost/x:1", "6.1.1").reference == "localhost/x:1"
