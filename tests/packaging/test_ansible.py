"""The Ansible role: read by the real Ansible, and its own check run, without root's rights used."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from support.commands import in_blocks
from support.packages import PROJECT, SYSTEM, run

FOLDER = PROJECT / "contrib/ansible"
CODOMAIN = Path(sys.executable).with_name("codomain")


def playbook(tmp_path: Path, *arguments: str, folder: Path = FOLDER) -> str:
    """Run ansible-playbook on this machine, with its own Python and a home of the test."""
    env = {**SYSTEM, "HOME": f"{tmp_path}", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_NOCOWS": "1"}
    local = ("-i", "localhost,", "--connection=local")
    return run("ansible-playbook", *local, *arguments, check=False, env=env, cwd=folder)


def test_the_playbook_can_be_read(tmp_path: Path) -> None:
    """Every task, handler and template is one that Ansible knows."""
    said = playbook(tmp_path, "--syntax-check", "site.yml")
    assert "playbook: site.yml" in said, said
    assert "ERROR" not in said


def test_the_role_passes_its_own_check(tmp_path: Path) -> None:
    """What the template writes can be used, and answers for five recipients as example.yml says.

    The command is the one of its README.md.
    """
    ((line,),) = in_blocks(FOLDER / "README.md")
    words = shlex.split(line)
    assert words[:4] == ["ansible-playbook", "-i", "localhost,", "--connection=local"]
    said = playbook(tmp_path, *words[4:], "-e", f"codomain_command={CODOMAIN}")
    assert "failed=0" in said, said
    assert "unreachable=0" in said


def test_the_check_can_fail(tmp_path: Path) -> None:
    """An answer that is not the one of the example is noticed."""
    copy = tmp_path / "ansible"
    run("cp", "-a", FOLDER, copy)
    text = (copy / "check.yml").read_text()
    assert "says: 5.1.1" in text
    (copy / "check.yml").write_text(text.replace("says: 5.1.1", "says: 2.1.5"))
    said = playbook(tmp_path, "check.yml", "-e", f"codomain_command={CODOMAIN}", folder=copy)
    assert "failed=1" in said
