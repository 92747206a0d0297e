"""Programs of Debian that a manual speaks of and that the tests' setup does not install.

Where they are not installed they are downloaded by apt-get and unpacked by dpkg into the
cache, as packaging/setup/sendmail.sh does with Sendmail, and laid over /usr of a host that is
made of namespaces.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

PACKAGES = {"ldap-utils": "usr/bin/ldapsearch", "postfix-ldap": "usr/lib/postfix/postfix-ldap.so"}
"""The packages, each with a file by which it is known to be there."""

APT = ("apt-get", "-q", "-o", "APT::Sandbox::User=root")
"""Root's folders are closed to apt's own user, and apt would complain of that."""


def overlays() -> list[str]:
    """Return the folders to be laid over /usr: none of what is installed."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "codomain"
    cache.mkdir(parents=True, exist_ok=True)
    found = []
    for name, file in PACKAGES.items():
        if Path("/", file).exists():
            continue
        with (cache / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another worker may want it, too
            if not (cache / name / file).exists():
                _unpack(name, cache)
        found.append(f"{cache / name}/usr")
    return found


def _unpack(name: str, cache: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=f"{name}.", dir=cache) as scratch:
        if not _download(name, scratch):
            # The lists may be missing, or name what the archive no longer has.
            subprocess.run([*APT, "update"], check=True, stdout=2)
            assert _download(name, scratch), f"{name} cannot be downloaded: apt-get install {name}"
        (package,) = Path(scratch).glob("*.deb")
        root = Path(scratch) / "root"
        subprocess.run(["dpkg-deb", "-x", package, root], check=True, stdout=2)
        # Whole or not at all.
        shutil.rmtree(cache / name, ignore_errors=True)
        root.rename(cache / name)


def _download(name: str, folder: str) -> bool:
    command = [*APT, "download", name]
    return subprocess.run(command, cwd=folder, check=False, stdout=2).returncode == 0
