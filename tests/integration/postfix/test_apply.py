"""`codomain postfix --apply`: postconf writes what would have been pasted, and no more."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from codomain_cli.main import codomain
from codomain_cli.private_postfix import PrivatePostfix

if TYPE_CHECKING:
    from collections.abc import Iterator

INI = """\
[codomain]
postfix = {etc}
[policyd]
listen = unix:{queue}/codomain/policy
socketmap_listen = unix:{queue}/codomain/map
[domain example.com]
type = authoritative
"""


@pytest.fixture
def fresh() -> Iterator[PrivatePostfix]:
    """Give a Postfix that has not heard of codomain, and does not run."""
    folder = Path(tempfile.mkdtemp(prefix="apply-", dir="/tmp"))
    try:
        folder.chmod(0o755)
        yield PrivatePostfix(folder / "postfix", {"transport_maps": "inline:{a.test=smtp:b.test}"})
    finally:
        shutil.rmtree(folder)


def run(postfix: PrivatePostfix, *arguments: str) -> str:
    """Run `codomain postfix` for it and return what it prints."""
    postfix.settle()
    ini = postfix.folder / "codomain.ini"
    ini.write_text(INI.format(etc=postfix.config, queue=postfix.queue))
    done = CliRunner().invoke(codomain, ["postfix", "--config", f"{ini}", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def files(postfix: PrivatePostfix) -> tuple[str, str]:
    """Return main.cf and master.cf."""
    read = [(postfix.config / name).read_text() for name in ("main.cf", "master.cf")]
    return read[0], read[1]


def said(postfix: PrivatePostfix, *arguments: str) -> str:
    """Return what postconf says of it."""
    postfix.settle()
    return postfix.run("postconf", "-c", f"{postfix.config}", *arguments)


def test_printing_changes_nothing(fresh: PrivatePostfix) -> None:
    """Without the flag no file is touched; what the lines replace is shown beside them."""
    before = files(fresh)
    printed = run(fresh)
    assert files(fresh) == before
    assert "# In main.cf now: transport_maps = inline:{a.test=smtp:b.test}\n" in printed


def test_applying_is_as_pasting(fresh: PrivatePostfix) -> None:
    """Postfix sees the same parameters and services either way, and warns about nothing."""
    main = run(fresh, "--main-cf")
    master = run(fresh, "--master-cf")
    before = files(fresh)
    # As the header says: earlier lines of the same name are removed.
    kept = [line for line in before[0].splitlines() if not line.startswith("transport_maps")]
    (fresh.config / "main.cf").write_text("\n".join(kept) + "\n")
    fresh.add(main, master)
    pasted = (said(fresh, "-n"), said(fresh, "-M"))
    (fresh.config / "main.cf").write_text(before[0])
    (fresh.config / "master.cf").write_text(before[1])
    told = run(fresh, "--apply")
    assert (said(fresh, "-n"), said(fresh, "-M")) == pasted
    assert "warning" not in pasted[0]
    assert "In main.cf now: transport_maps = inline:{a.test=smtp:b.test}\n" in told


def test_applying_twice_is_applying_once(fresh: PrivatePostfix) -> None:
    """The second time nothing is left to change."""
    run(fresh, "--apply")
    once = files(fresh)
    run(fresh, "--apply")
    assert files(fresh) == once
    assert "\ncodomain-rewrite" not in run(fresh, "--master-cf")


def test_services_keep_their_options(fresh: PrivatePostfix) -> None:
    """Submission keeps what it had, and gets the check before its permits (mta.md)."""
    run(fresh, "--apply")
    service = f"127.0.0.1:{fresh.submission}/inet"
    options = said(fresh, "-P", service).splitlines()
    assert f"{service}/syslog_name = postfix/submission" in options
    assert f"{service}/rewrite_service_name = codomain-rewrite" in options
    assert (
        f"{service}/smtpd_relay_restrictions ="
        " codomain_check,permit_mynetworks,permit_sasl_authenticated,reject"
    ) in options
