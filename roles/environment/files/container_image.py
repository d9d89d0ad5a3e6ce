# SPDX-License-Identifier: GPL-3.0-or-later
"""Make an environment of a container image: pulled by its name, or built by a repository's Dockerfile."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from walled import ProgramError, run

NOTE = "container.json"
# What an image must not be able to do when it is looked into.
BARE = ("--rm", "--network=host", "--read-only", "--user=65534:65534", "--cap-drop=all")
LOOK = (
    "import json, os, shutil, sys; from importlib.metadata import version;"
    "print(json.dumps({'python': sys.executable, 'version': '%d.%d' % sys.version_info[:2],"
    "'programs': os.path.dirname(shutil.which('jupyterhub-singleuser')), 'jupyterhub': version('jupyterhub')}))"
)
_STAGE = re.compile(r"(?im)^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?")


class ImageError(Exception):
    """The image cannot be offered; the text says why, and what to do."""


@dataclass
class ContainerImage:
    """What servers are started from. ``reference`` is what it can be pulled by again, where it can."""

    id: str
    reference: str
    python: str
    # Of Python, such as 3.11, and the folder that jupyterhub-singleuser lies in.
    version: str
    programs: str


def podman_of(root: Path) -> Path:
    """That of the hub whose environments lie in a folder, with a store of its own; see the role environment."""
    return root.parent / "podman"


def read_note(environment: Path) -> ContainerImage | None:
    with contextlib.suppress(FileNotFoundError):
        return ContainerImage(**json.loads((environment / NOTE).read_text(encoding="utf-8")))
    return None


def write_note(environment: Path, image: ContainerImage) -> None:
    (environment / NOTE).write_text(json.dumps(asdict(image), indent=2) + "\n", encoding="utf-8")


def is_fixed(reference: str) -> bool:
    """Whether it says which image, so that it is the same one tomorrow."""
    if "@sha256:" in reference:
        return True
    tag = re.search(r":([\w][\w.-]*)$", reference)
    return bool(tag) and tag[1] != "latest"


def pull(podman: Path, reference: str, jupyterhub: str) -> ContainerImage:
    if not is_fixed(reference):
        raise ImageError(
            f"{reference} says nothing of what it holds, which may be another image each day. Name the tag or the "
            "digest of one."
        )
    try:
        found = run(podman, "pull", "--quiet", reference).strip().splitlines()[-1]
    except ProgramError as error:
        raise ImageError(f"The image {reference} cannot be pulled: {error}") from None
    name = re.sub(r"(@sha256:\w+|:[\w.-]+)$", "", reference)
    digests = json.loads(run(podman, "image", "inspect", "--format={{json .RepoDigests}}", found))
    own = [one for one in digests if one.startswith(f"{name}@")]
    # One that was pushed from here has the digest of before too, which its registry does not know.
    known = next((one for one in own if len(own) == 1 or can_be_pulled(podman, one)), reference)
    return look(podman, found, known, jupyterhub)


def can_be_pulled(podman: Path, reference: str) -> bool:
    try:
        run(podman, "pull", "--quiet", reference)
    except ProgramError:
        return False
    return True


def build(podman: Path, repository: Path, dockerfile: Path, tag: str, jupyterhub: str) -> ContainerImage:
    text = dockerfile.read_text(encoding="utf-8")
    stages = _STAGE.findall(text)
    earlier = {name.lower() for base, name in stages} | {"scratch"}
    loose = [base for base, name in stages if base.lower() not in earlier and "$" not in base and not is_fixed(base)]
    if loose:
        raise ImageError(
            f"The Dockerfile builds on {', '.join(loose)}, which may be another image each day. Name its tag or digest."
        )
    words = ["--quiet", "--network=host", f"--tag={tag}", f"--file={dockerfile}", str(repository)]
    try:
        found = run(podman, "build", *words).strip().splitlines()[-1]
    except ProgramError as error:
        raise ImageError(f"The Dockerfile cannot be built: {error}") from None
    return look(podman, found, tag, jupyterhub)


def look(podman: Path, found: str, reference: str, jupyterhub: str) -> ContainerImage:
    """What is in it, which is not kept where no server could start from it."""
    try:
        return inside(podman, found, reference, jupyterhub)
    except ImageError:
        remove(podman, [found])
        raise


def inside(podman: Path, found: str, reference: str, jupyterhub: str) -> ContainerImage:
    try:
        said = json.loads(run(podman, "run", *BARE, "--pull=never", "--entrypoint=python3", found, "-c", LOOK))
        there = said.pop("jupyterhub")
        image = ContainerImage(id=found.removeprefix("sha256:"), reference=reference, **said)
    # Whatever else it prints is not what was asked.
    except (ProgramError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise ImageError(
            f"{reference} holds no python3 and jupyterhub-singleuser on its PATH that a server could be started by: "
            f"{error}"
        ) from None
    if there.split(".")[0] != jupyterhub.split(".")[0]:
        raise ImageError(
            f"{reference} holds jupyterhub {there}, and the hub has {jupyterhub}. Name an image of jupyterhub "
            f"{jupyterhub.split('.')[0]}."
        )
    return image


def remove_others(podman: Path, kept: list[str]) -> None:
    """All that no environment is made of; what another image builds on stays, as Podman refuses to remove it."""
    if podman.exists():
        # Of servers that a loss of power has ended.
        run(podman, "container", "prune", "--force")
        there = run(podman, "images", "--quiet", "--no-trunc").split()
        remove(podman, sorted({image.removeprefix("sha256:") for image in there} - set(kept)))


def remove(podman: Path, images: list[str]) -> None:
    """Those that nothing runs from; what has several names is forced, since all of them are in this store alone."""
    for image in images:
        with contextlib.suppress(ProgramError):
            if not run(podman, "ps", "--all", "--quiet", f"--filter=ancestor={image}").strip():
                run(podman, "image", "rm", "--force", image)
