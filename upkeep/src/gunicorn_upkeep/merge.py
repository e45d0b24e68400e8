"""Merge the difference of two bakes into a service, in a repository beside its own."""

from dataclasses import dataclass, field
from pathlib import Path

from gunicorn_upkeep import git
from gunicorn_upkeep.git import Refused
from gunicorn_upkeep.record import NAME

PACKAGES = "packages"  # replaced whole: each directory in it is a package of the template
OURS, THEIRS = "your-code", "template"  # the names in conflict markers


def require_clean(project: Path) -> None:
    """Check that the service is in git and has no change that is not committed.

    Raises:
        Refused: It is not in git, has no commit, has such a change, or may hide one.
    """
    if git.run("rev-parse", "--is-inside-work-tree", cwd=project).stdout.strip() != "true":
        raise Refused(f"{project} is not in a git repository")
    if git.run("rev-parse", "--verify", "--quiet", "HEAD", cwd=project).returncode:
        raise Refused(f"{project} has no commit yet: commit it first")
    # Also where the user's configuration hides untracked files: a new file could replace one.
    if git.output("status", "--porcelain", "--untracked-files=normal", "--", ".", cwd=project):
        raise Refused(f"{project} has uncommitted changes: commit or stash them first")
    listed = git.output("ls-files", "-v", "-z", "--", ".", cwd=project)
    for line in filter(None, listed.split("\0")):
        flag, path = line[0], line[2:]
        if (flag == "S" or flag.islower()) and (project / path).exists():
            raise Refused(
                f"{path} may have changes that git was told not to see: take back skip-worktree or "
                "assume-unchanged with `git update-index`"
            )


@dataclass
class Merge:
    """The result of a merge, which is not yet in the working tree."""

    project: Path
    scratch: "Scratch"
    tree: str
    changes: dict[str, str] = field(default_factory=dict)  # A, M, T or D for each path
    conflicts: dict[str, str] = field(default_factory=dict)  # what happened, for each path
    notes: list[str] = field(default_factory=list)

    def require_free(self) -> None:
        """Check that no file that git ignores is in the way of a new one.

        Raises:
            Refused: One is.
        """
        for path, change in self.changes.items():
            if change != "A":
                continue
            above = (parent for parent in Path(path).parents if (self.project / parent).is_file())
            blocking = path if (self.project / path).exists() else next(above, None)
            if blocking is not None:
                raise Refused(f"{blocking} is in the way: git ignores it, and the template adds it")

    def apply(self) -> None:
        """Write the changes into the working tree; the index and the commits stay."""
        for path, change in self.changes.items():
            if change == "D":
                (self.project / path).unlink(missing_ok=True)
                _remove_empty((self.project / path).parent, self.project)
        written = [path for path, change in self.changes.items() if change != "D"]
        self.scratch.git("read-tree", self.tree)
        work_tree = f"--work-tree={self.project}"
        paths = "\0".join(written)
        self.scratch.git(work_tree, "checkout-index", "--force", "-z", "--stdin", given=paths)


def _remove_empty(directory: Path, top: Path) -> None:
    """Remove `directory` and those above it, below `top`, while they are empty."""
    while directory != top and directory.is_dir() and not any(directory.iterdir()):
        directory.rmdir()
        directory = directory.parent


class Scratch:
    """A bare repository beside the service's own, which borrows its objects and writes none."""

    def __init__(self, directory: Path, project: Path) -> None:
        self.directory = directory
        git.output("init", "--quiet", "--bare", directory)
        objects = git.output("rev-parse", "--git-path", "objects", cwd=project)
        alternates = directory / "objects" / "info" / "alternates"
        alternates.write_text(f"{(project / objects).resolve()}\n")

    def git(self, *arguments: str | Path, given: str | None = None) -> str:
        """Run git here without the user's configuration, and return its output."""
        identity = {
            f"GIT_{role}_{what}": "upkeep"
            for role in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        isolation = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
        options = f"--git-dir={self.directory}"
        # In the caller's directory, git would take paths as below that.
        return git.output(
            options,
            *arguments,
            cwd=self.directory,
            environment=identity | isolation,
            given=given,
        )

    def add(self, directory: Path) -> str:
        """Add all files of a directory, and return the id of its tree."""
        self.git("read-tree", "--empty")
        self.git(f"--work-tree={directory}", "-C", directory, "add", "--all", "--force", ".")
        return self.git("write-tree")

    def entries(self, tree: str) -> dict[str, str]:
        """Return the id of each file or directory at the top of a tree."""
        lines = self.git("ls-tree", "-z", tree).split("\0")
        return {
            path: head.split()[2] for head, _, path in (x.partition("\t") for x in lines) if path
        }

    def packages(self, tree: str) -> dict[str, str]:
        """Return the id of each package's tree in packages/."""
        top = self.entries(tree)
        return self.entries(top[PACKAGES]) if PACKAGES in top else {}

    def commit(self, name: str, tree: str, *parents: str) -> str:
        """Commit a tree on a branch, and return the id of the commit."""
        options = [option for parent in parents for option in ("-p", parent)]
        commit = self.git("commit-tree", *options, "-m", name, tree)
        self.git("update-ref", f"refs/heads/{name}", commit)
        return commit


def merge(project: Path, old: Path, new: Path, directory: Path) -> Merge:
    """Merge what differs between the bakes `old` and `new` into the committed files of a service.

    `directory` is where the scratch repository is made. Nothing of the service is changed.

    Raises:
        Refused: git could not merge.
    """
    scratch = Scratch(directory, project)
    prefix = git.output("rev-parse", "--show-prefix", cwd=project)
    head = git.output("rev-parse", f"HEAD:{prefix}", cwd=project)
    base, theirs = scratch.add(old), scratch.add(new)
    ours, gone, notes = _without_packages(scratch, head, base)
    root = scratch.commit("base", base)
    scratch.commit(OURS, ours, root)
    scratch.commit(THEIRS, theirs, root)
    tree, stages = _merge_tree(scratch)
    result = Merge(project, scratch, tree, notes=notes)
    kept_deleted = set()
    for path, found in stages.items():
        if path.startswith(gone):
            continue
        if found == {1, 3}:  # a service may delete what it does not use, such as the example
            kept_deleted.add(path)
            result.notes.append(f"{path} stays deleted; the template changed it")
        else:
            result.conflicts[path] = _describe(found)
    difference = scratch.git("diff-tree", "-r", "-z", "--no-renames", "--name-status", head, tree)
    fields = difference.split("\0")
    for change, path in zip(fields[::2], fields[1::2], strict=False):
        if path != NAME and path not in kept_deleted and not path.startswith(gone):
            result.changes[path] = change
    return result


def _without_packages(
    scratch: Scratch, head: str, base: str
) -> tuple[str, tuple[str, ...], list[str]]:
    """Take the service's changes in packages/ back, so that the merge replaces the packages.

    Returns:
        The service's tree without them and without the record; the paths of the packages that the
        service does not have any more, which end with a slash; and notes on what was taken back.
    """
    present = scratch.packages(head)
    notes, gone = [], []
    scratch.git("read-tree", head)
    scratch.git("rm", "--cached", "--quiet", "--ignore-unmatch", "--", NAME)
    for name, tree in scratch.packages(base).items():
        path = f"{PACKAGES}/{name}"
        if name not in present:
            gone.append(f"{path}/")
        elif present[name] != tree:
            notes.append(f"{path} is replaced whole, with the changes that were made to it here")
            scratch.git("rm", "-r", "--cached", "--quiet", "--", path)
            # -i: without it, git wants a working tree.
            scratch.git("read-tree", "-i", f"--prefix={path}/", tree)
    return scratch.git("write-tree"), tuple(gone), notes


def _merge_tree(scratch: Scratch) -> tuple[str, dict[str, set[int]]]:
    """Merge the two branches; return the tree and the stages of each path in conflict."""
    # Guesses about moved directories would move files of the service, too.
    options = "-c", "merge.directoryRenames=false", "merge-tree", "--write-tree"
    done = git.run(f"--git-dir={scratch.directory}", *options, "-z", "--no-messages", OURS, THEIRS)
    if done.returncode not in (0, 1):
        raise Refused(f"git merge-tree: {git.reason(done)}")
    tree, *entries = done.stdout.split("\0")
    stages: dict[str, set[int]] = {}
    for entry in filter(None, entries):
        head, _, path = entry.partition("\t")
        stages.setdefault(path, set()).add(int(head.split()[2]))
    return tree, stages


def _describe(stages: set[int]) -> str:
    """Return what happened to a path, from its stages: 1 the old bake, 2 yours, 3 the new bake."""
    descriptions = {
        frozenset({1, 2}): "changed here, deleted in the template; kept",
        frozenset({2, 3}): "added on both sides",
        frozenset({1, 2, 3}): "changed on both sides",
    }
    return descriptions.get(frozenset(stages), "renamed or replaced on one side")
