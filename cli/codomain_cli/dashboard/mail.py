"""The rows about mail: what is asked at each door, and what is answered."""

from __future__ import annotations

from codomain_cli.dashboard.panel import OF_DOMAIN, Panel, Query, Row

TRAFFIC = Row(
    "Traffic by door",
    (
        Panel(
            "Requests",
            "Requests answered each second by the policy server, the maps and the milter. "
            "A door that falls to nothing while mail flows is not asked any more.",
            (
                Query(
                    f"sum by (door) (rate(codomain_requests_total{{{OF_DOMAIN}}}[$rate]))",
                    "{{door}}",
                ),
            ),
            "reqps",
        ),
        Panel(
            "Time to the answer, 99 of 100",
            "All but the slowest hundredth were answered within this. Postfix waits ten seconds, "
            "codomain four; what comes from a cache takes less than a millisecond.",
            (
                Query(
                    "histogram_quantile(0.99, sum by (door, le) "
                    "(rate(codomain_request_duration_seconds_bucket{$by}[$rate])))",
                    "{{door}} 99 %",
                ),
                Query(
                    "histogram_quantile(0.5, sum by (door, le) "
                    "(rate(codomain_request_duration_seconds_bucket{$by}[$rate])))",
                    "{{door}} half",
                ),
            ),
            "s",
            thresholds=(("green", None), ("orange", 1), ("red", 4)),
            runbook="codomain-slow",
        ),
        Panel(
            "Open connections",
            "Each smtpd process keeps one to the policy server. The limit is [policyd] "
            "max_connections.",
            (Query("sum by (door) (codomain_connections{$by})", "{{door}}"),),
            "short",
        ),
        Panel(
            "Waiting for an answer",
            "Requests whose answer is not in memory, so that a directory or the next system is "
            "being asked.",
            (Query("sum by (door) (codomain_requests_in_flight{$by})", "{{door}}"),),
            "short",
        ),
        Panel(
            "Protocol errors",
            "Requests that no Postfix or Sendmail sends, and connections cut in the middle of "
            "one. Anything lasting is a wrong setting of main.cf, or a stranger at a socket.",
            (
                Query(
                    "sum by (door, kind) (rate(codomain_protocol_errors_total{$by}[$rate]))",
                    "{{door}}: {{kind}}",
                ),
            ),
            "reqps",
        ),
        Panel(
            "Harvest and other brakes",
            "Recipients answered 450 because their client asked for too many that are unknown.",
            (
                Query(
                    "sum by (domain) (rate(codomain_requests_total"
                    f'{{{OF_DOMAIN}, reason="harvest"}}[$rate])) or on() vector(0)',
                    "{{domain}}",
                ),
            ),
            "reqps",
        ),
    ),
)

VERDICTS = Row(
    "Verdicts and reasons",
    (
        Panel(
            "Verdicts",
            "deliver: it exists here. redirect: a contact. relay: nobody here knows it, the other "
            "system gets it. pass: not ours to judge. refuse and defer: see beside.",
            (
                Query(
                    f"sum by (verdict) (rate(codomain_requests_total{{{OF_DOMAIN}}}[$rate]))",
                    "{{verdict}}",
                ),
            ),
            "reqps",
            stacked=True,
        ),
        Panel(
            "Refusals by reason",
            "unknown: asked, and it is not there. relaying: nobody may send it here. loop: it "
            "would come back. A jump means spammers, or a change in the directory.",
            (
                Query(
                    "sum by (reason) (rate(codomain_requests_total"
                    f'{{{OF_DOMAIN}, verdict="refuse"}}[$rate]))',
                    "{{reason}}",
                ),
            ),
            "reqps",
            runbook="codomain-refusals-jump",
            stacked=True,
        ),
        Panel(
            "Temporary failures",
            "The part of all requests that was answered with a 4xx. Senders come again; nothing "
            "is lost while this is above zero, and nothing arrives either.",
            (
                Query(
                    "sum by (reason) (rate(codomain_requests_total"
                    f'{{{OF_DOMAIN}, verdict="defer"}}[$rate])) / on () group_left () '
                    f"sum (rate(codomain_requests_total{{{OF_DOMAIN}}}[$rate]))",
                    "{{reason}}",
                ),
            ),
            "percentunit",
            thresholds=(("green", None), ("orange", 0.01), ("red", 0.05)),
            runbook="codomain-tempfail",
        ),
        Panel(
            "Requests by domain",
            "The configured domains; everything else is other.",
            (
                Query(
                    f"sum by (domain) (rate(codomain_requests_total{{{OF_DOMAIN}}}[$rate]))",
                    "{{domain}}",
                ),
            ),
            "reqps",
            width=12,
        ),
        Panel(
            "Shadow mode",
            "Refusals that were only counted, because mode = shadow.",
            (
                Query(
                    "sum by (reason) (rate(codomain_shadow_refusals_total"
                    f"{{{OF_DOMAIN}}}[$rate])) or on() vector(0)",
                    "{{reason}}",
                ),
            ),
            "reqps",
            width=12,
        ),
    ),
)
