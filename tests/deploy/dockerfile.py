"""The Dockerfile's own commands, run without docker.

A folder stands for `/`. It has `/usr`, `/etc` … of this machine, read-only, as its base image; `/opt`, `/build`,
`/data` and `/tmp` are its own. So everything is tried but what differs between this machine and the base image.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTHON = Path(sys.base_prefix)

_OWN = {"opt", "build", "data", "tmp", "root", "home", "run", "proc", "dev", "sys"}
_ENTER = r"""
set -eu
root=$1 python=$2 uid=$3
shift 3
mount --bind "$root" "$root"
for entry in $(ls "$root"); do
    case $entry in opt|build|data|tmp|root|home|run|sys) continue ;; esac
    [ -L "$root/$entry" ] || mount --rbind "/$entry" "$root/$entry"
    case $entry in proc|dev) ;; *) [ -L "$root/$entry" ] || mount -o remount,bind,ro "$root/$entry" ;; esac
done
for folder in /opt/*/ "$python"; do
    [ "$folder" = /opt/preheat/ ] || { mkdir -p "$root$folder"; mount --bind "$folder" "$root$folder"; }
done
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
if [ "$uid" != 0 ]; then
    mount --bind "$root/data" "$root/data"
    mount -o remount,bind,ro "$root"
fi
exec unshare --root "$root" setpriv --reuid "$uid" --regid "$uid" --clear-groups --no-new-privs "$@"
"""


class Dockerfile:
    """The file's instructions: of the stage that builds, and of the one that runs."""

    def __init__(self, path: Path = ROOT / "Dockerfile") -> None:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
        joined = re.sub(r" *\\\n *", " ", "\n".join(lines))
        instructions = [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in joined.splitlines() if line]
        starts = [number for number, (word, _) in enumerate(instructions) if word == "FROM"]
        self.before = instructions[: starts[0]]
        self.build, self.run = instructions[starts[0] : starts[1]], instructions[starts[1] :]

    def environment(self, stage: list[tuple[str, str]]) -> dict[str, str]:
        """What ARG and ENV of a stage set."""
        # How this machine reaches package indexes is nothing of the image's.
        found = {
            name: value for name, value in os.environ.items() if name.startswith("PIP_") or "PROXY" in name.upper()
        }
        found["PATH"] = f"{PYTHON}/bin:/usr/local/bin:/usr/bin:/bin"
        for word, rest in stage:
            if word in {"ARG", "ENV"}:
                pairs = dict(pair.split("=", 1) for pair in shlex.split(rest))
                found |= {name: value.replace("$PATH", found["PATH"]) for name, value in pairs.items()}
        return found


class ImageRoot:
    """The folder that stands for the image's `/`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        for entry in (entry for entry in Path("/").iterdir() if not entry.is_file() and entry.name != "lost+found"):
            if entry.is_symlink():
                (folder / entry.name).symlink_to(entry.readlink())
            elif entry.is_dir():
                (folder / entry.name).mkdir()
        for name in _OWN:
            (folder / name).mkdir(exist_ok=True)
        (folder / "opt/preheat").mkdir()

    def command(self, *arguments: str, uid: int = 0) -> list[str]:
        """A command line that enters it: as root to build; as anybody else /data and /tmp alone can be written to."""
        return ["unshare", "--mount", "sh", "-c", _ENTER, "sh", str(self.path), str(PYTHON), str(uid), *arguments]

    def build(self, dockerfile: Dockerfile) -> None:
        """COPY and RUN of the first stage."""
        folder, environment = Path("/"), dockerfile.environment(dockerfile.build)
        for word, rest in dockerfile.build:
            if word == "WORKDIR":
                folder = Path(rest)
            elif word == "COPY":
                *sources, target = rest.split()
                for source in sources:
                    self._copy(source, folder / target)
            elif word == "RUN":
                script = f"cd {folder} && {rest}"
                run = subprocess.run(
                    self.command("sh", "-c", script), env=environment, capture_output=True, text=True, check=False
                )
                assert run.returncode == 0, f"{rest}\n{run.stdout[-2000:]}\n{run.stderr[-2000:]}"

    def _copy(self, source: str, target: Path) -> None:
        inside = self.path / target.relative_to("/")
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, inside, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(ROOT / source, inside / Path(source).name)
