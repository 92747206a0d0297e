"""A real Postfix as many next systems: one instance, a port for each way to behave.

Each service is an smtpd of its own with restrictions of its own; each domain is named after
the service that is asked for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codomain_cli.private_postfix import PrivatePostfix, free_ports

if TYPE_CHECKING:
    from pathlib import Path

    from support.authority import Certificate

SERVICES = {
    "plain": {},
    "grey": {"smtpd_recipient_restrictions": "$next_grey"},
    "turning": {"smtpd_recipient_restrictions": "$next_turning"},
    "helo": {"smtpd_helo_restrictions": "reject", "smtpd_delay_reject": "no"},
    "delayed": {"smtpd_client_restrictions": "reject"},
    "listed": {"smtpd_recipient_restrictions": "$next_listed"},
    "catchall": {"relay_recipient_maps": ""},
    "tarpit": {"smtpd_recipient_restrictions": "$next_tarpit"},
    "closing": {"smtpd_recipient_restrictions": "$next_closing"},
    "full": {"smtpd_recipient_restrictions": "$next_full"},
    "badtls": {"smtpd_tls_security_level": "may"},
    "opportune": {"smtpd_tls_security_level": "may"},
    "first": {"relay_recipient_maps": "$next_first"},
    "second": {"relay_recipient_maps": "$next_second"},
    "third": {"relay_recipient_maps": "$next_third"},
}
"""What is different at each port."""

PEOPLE = " ".join(f"ann@{name}.example=x known@{name}.example=x" for name in SERVICES)
"""Whom they know."""

MAIN = {
    "relay_domains": "plain.example grey.example turning.example helo.example delayed.example"
    " listed.example catchall.example tarpit.example closing.example full.example"
    " badtls.example opportune.example chain.example",
    "relay_transport": "discard:",
    "relay_recipient_maps": f"inline:{{ {PEOPLE} }}",
    "next_grey": "check_client_access static:{450 4.7.1 Greylisted}",
    # of the client, as most systems say it: at RCPT
    "next_listed": "check_client_access static:{550 5.1.1 You are listed}",
    "next_tarpit": "sleep 8",
    "next_closing": "check_client_access static:{421 4.7.0 Enough}",
    "next_full": "check_recipient_access inline:{ {ann@full.example=552 5.2.2 Full} }",
    "next_first": "inline:{ one@chain.example=x known@chain.example=x }",
    "next_second": "inline:{ two@chain.example=x known@chain.example=x }",
    "next_third": "inline:{ three@chain.example=x known@chain.example=x }",
    "smtpd_error_sleep_time": "0",
    "smtpd_tls_loglevel": "1",
}
"""Its main.cf."""

GREY = "450 4.7.1 Greylisted"


class NextPostfix:
    """The instance, and its ports by service."""

    def __init__(self, folder: Path, certificate: Certificate) -> None:
        self.turning = folder / "turning"
        self.ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
        tls = {
            "smtpd_tls_cert_file": f"{certificate.file}",
            "smtpd_tls_key_file": f"{certificate.key}",
            "next_turning": f"check_recipient_access texthash:{self.turning}",
        }
        self.turn(GREY)
        self.postfix = PrivatePostfix(folder / "postfix", MAIN | tls)
        lines = []
        for name, port in self.ports.items():
            options = {"syslog_name": f"postfix/{name}", **SERVICES[name]}
            text = " ".join(f"-o {key}={value}" for key, value in options.items())
            lines.append(f"127.0.0.1:{port} inet n - y - - smtpd {text}\n")
        self.postfix.add("", "".join(lines))

    def turn(self, reply: str) -> None:
        """Let ``turning`` say something else of somebody; after a reload, where it runs."""
        self.turning.write_text(f"new@turning.example {reply}\n")

    def said(self, service: str, text: str) -> int:
        """Count the lines of a service's log that hold a text."""
        lines = self.postfix.logged().splitlines()
        return sum(f"postfix/{service}/" in line and text in line for line in lines)
