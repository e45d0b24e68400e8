"""Build images with buildah, which needs no daemon, and run them as an orchestrator would."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from baking.combinations import ROOT
from connection_slots.testing.server import wait_for

CACHE = ROOT / ".cache" / "images"
NEEDED = ("buildah", "debootstrap", "unshare")
DEBIAN, PYTHON = "bookworm", "3.11"  # the release, and the Python that it has
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
BUILD_TAKES = 600  # seconds, at most

# Mount the root file system read-only, with /tmp in memory and the secrets. Then become the image's
# user, without any capability.
ENTER = """\
set -e
mount --make-rprivate /
mount --bind "$ROOT" "$ROOT"
mount -o remount,ro,bind "$ROOT"
mount -t tmpfs -o mode=1777 tmpfs "$ROOT/tmp"
mount -t proc proc "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"
mount --bind -o ro "$SECRETS" "$ROOT/run/secrets/service"
exec chroot "$ROOT" setpriv --reuid "$IMAGE_USER" --regid "$IMAGE_USER" --clear-groups \
    --no-new-privs --bounding-set=-all --inh-caps=-all env --ignore-environment \
    --chdir="$IMAGE_DIRECTORY" "$@"
"""


def missing() -> str | None:
    """Return why images cannot be built here, or None."""
    if os.geteuid() != 0:
        return "only root may make and enter root file systems"
    absent = [name for name in NEEDED if shutil.which(name) is None]
    return f"{', '.join(absent)}: not installed" if absent else None


class Store:
    """Images in a directory of their own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def buildah(self, *arguments: str | Path) -> str:
        """Run buildah, and return what it prints. Raises AssertionError with its errors."""
        places = [f"--root={self.directory}/images", f"--runroot={self.directory}/run"]
        done = subprocess.run(
            ["buildah", "--storage-driver=vfs", *places, *map(str, arguments)],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=BUILD_TAKES,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def make_base_images(self, *names: str) -> None:
        """Make the images that a Dockerfile begins with under their names: none can be pulled.

        Those of Python are Debian with its Python, that of uv has the program only.
        """
        for name in names:
            container = self.buildah("from", "scratch")
            if "/uv:" in name:
                self.buildah("copy", container, uv(), "/uv")
            else:
                self.buildah("add", container, debian(), "/")
                self.buildah("config", "--env", f"SSL_CERT_FILE={CERTIFICATES}", container)
            self.buildah("commit", "--quiet", container, name)
            self.buildah("rm", container)

    def build(self, context: Path, name: str) -> None:
        """Build the Dockerfile of a directory, from images in this store only."""
        self.buildah("bud", "--isolation=chroot", "--pull-never", "--tag", name, context)

    @contextmanager
    def mounted(self, name: str) -> Iterator["Image"]:
        """Yield the image, with its root file system in a directory."""
        container = self.buildah("from", "--pull-never", name)
        try:
            root = Path(self.buildah("mount", container))
            (root / "run" / "secrets" / "service").mkdir(parents=True, exist_ok=True)
            described = json.loads(self.buildah("inspect", container))
            yield Image(root, described["OCIv1"]["config"])
        finally:
            self.buildah("rm", container)


class Image:
    """An image whose root file system is in a directory."""

    def __init__(self, root: Path, config: dict[str, object]) -> None:
        self.root = root
        self.user = str(config["User"])
        self.directory = str(config.get("WorkingDir") or "/")
        self.command = list(config["Cmd"])  # type: ignore[call-overload]
        self.environment = list(config["Env"])  # type: ignore[call-overload]

    def start(self, secrets: Path, *command: str, **environment: str) -> "subprocess.Popen[str]":
        """Start a command, that of the image by default, as its process 1."""
        variables = [*self.environment, *(f"{key}={environment[key]}" for key in environment)]
        enter = [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            ENTER,
            "enter",
        ]
        return subprocess.Popen(
            [*enter, *variables, *(command or self.command)],
            env={
                "PATH": os.environ["PATH"],
                "ROOT": str(self.root),
                "SECRETS": str(secrets),
                "IMAGE_USER": self.user,
                "IMAGE_DIRECTORY": self.directory,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, secrets: Path, *command: str, **environment: str) -> str:
        """Run a command to its end, and return what it printed."""
        process = self.start(secrets, *command, **environment)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, said
        return said


def process_1(process: "subprocess.Popen[str]") -> int:
    """Return the pid, outside, of the process that Image.start() has started."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    wait_for(lambda: bool(children.read_text().split()), "the container")
    return int(children.read_text().split()[0])


def uv() -> Path:
    """Return the path of uv's program, which is what runs this test."""
    return Path(os.environ.get("UV") or shutil.which("uv") or "uv")


def debian() -> Path:
    """Return a directory with Debian and its Python. It is made once, and takes two minutes."""
    root = CACHE / DEBIAN
    if not root.exists():
        unfinished = CACHE / f"{DEBIAN}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        options = ["--variant=minbase", "--include=ca-certificates,python3,python3-venv"]
        subprocess.run(
            ["debootstrap", *options, DEBIAN, str(unfinished)],  # noqa: S607
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=BUILD_TAKES,
        )
        shutil.copy(CERTIFICATES, unfinished / CERTIFICATES.relative_to("/"))
        (unfinished / "usr" / "local" / "bin" / "python").symlink_to("/usr/bin/python3")
        unfinished.rename(root)
    return root
