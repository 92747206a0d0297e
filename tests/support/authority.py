"""A certificate authority for one test run, made with the openssl command."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
_LEAF = """\
subjectAltName={names}
basicConstraints=CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth,clientAuth
authorityKeyIdentifier=keyid
subjectKeyIdentifier=hash
"""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its key, and who vouches for it."""

    file: Path
    """The certificate, in PEM."""

    key: Path
    """Its private key, in PEM, without a passphrase."""

    authority: Path
    """The certificate of the authority that signed it."""


class Authority:
    """Signs certificates; only those who are given :attr:`file` trust it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self.file = folder / "ca.pem"
        # Python 3.13 asks for keyUsage in an authority (VERIFY_X509_STRICT).
        self._openssl(
            *("req", "-x509", *_NEW_KEY, "-days", "30", "-subj", f"/CN=Authority {folder.name}"),
            *("-keyout", "ca.key", "-out", "ca.pem"),
            *("-addext", "basicConstraints=critical,CA:TRUE"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        )

    def sign(self, name: str, names: str, *, days: int = 30) -> Certificate:
        """Make a certificate for subjectAltNames such as ``DNS:localhost,IP:127.0.0.1``.

        ``days`` below zero make one that has expired.
        """
        (self._folder / f"{name}.ext").write_text(_LEAF.format(names=names))
        self._openssl(
            *("req", *_NEW_KEY, "-subj", f"/CN={name}"),
            *("-keyout", f"{name}.key", "-out", f"{name}.req"),
        )
        self._openssl(
            *("x509", "-req", "-in", f"{name}.req", "-extfile", f"{name}.ext"),
            *("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-days", str(days), "-out", f"{name}.pem"),
        )
        return Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key", self.file)

    def _openssl(self, *arguments: str) -> None:
        done = subprocess.run(
            ["openssl", *arguments], cwd=self._folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"openssl {arguments[0]}: {done.stderr}")
