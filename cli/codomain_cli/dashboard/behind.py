"""The rows about what stands behind an answer: caches, directories, next systems, the process."""

from __future__ import annotations

from codomain_cli.dashboard.panel import OF_DOMAIN, Panel, Query, Row

UP = (("0", "down", "red"), ("1", "up", "green"))
"""The values of a gauge that says whether something answers."""

CACHE = Row(
    "Cache",
    (
        Panel(
            "Look-ups by result",
            "hit: known. negative_hit: known not to be there. miss: the directory is asked. "
            "stale: an old answer serves, because the directory is down.",
            (
                Query(
                    "sum by (result) (rate(codomain_cache_lookups_total{$by}[$rate]))",
                    "{{result}}",
                ),
            ),
            "reqps",
            stacked=True,
        ),
        Panel(
            "Addresses held",
            "How many addresses each part of the cache holds. At [cache] size it is full, and the "
            "one that was not used for longest makes room.",
            (Query("sum by (kind) (codomain_cache_entries{$by})", "{{kind}}"),),
            "short",
        ),
        Panel(
            "Shared cache",
            "Look-ups in the second level that several gateways share, by result; nothing where "
            "[cache] shared is empty.",
            (
                Query(
                    "sum by (result) (rate(codomain_shared_cache_requests_total{$by}[$rate])) "
                    "or on() vector(0)",
                    "{{result}}",
                ),
            ),
            "reqps",
        ),
    ),
)

DIRECTORY = Row(
    "Directory",
    (
        Panel(
            "Servers",
            "Whether each server's last answer was one.",
            (
                Query(
                    "min by (directory, server) (codomain_directory_up{$by})",
                    "{{directory}} {{server}}",
                ),
            ),
            "short",
            kind="state-timeline",
            values=UP,
            runbook="codomain-directory-down",
        ),
        Panel(
            "Searches by result",
            "Only what no cache answers is searched. error and timeout are never told as unknown.",
            (
                Query(
                    "sum by (directory, result) "
                    "(rate(codomain_directory_requests_total{$by}[$rate]))",
                    "{{directory}}: {{result}}",
                ),
            ),
            "reqps",
            runbook="codomain-directory-down",
        ),
        Panel(
            "Time of a search, 99 of 100",
            "What an address costs that nobody has asked for lately.",
            (
                Query(
                    "histogram_quantile(0.99, sum by (directory, le) "
                    "(rate(codomain_directory_duration_seconds_bucket{$by}[$rate])))",
                    "{{directory}}",
                ),
            ),
            "s",
            thresholds=(("green", None), ("orange", 0.5), ("red", 2)),
        ),
    ),
)

CALLOUT = Row(
    "Connectors and call-out",
    (
        Panel(
            "Relayed to the next system",
            "Recipients that nobody here knows and the next system gets.",
            (
                Query(
                    "sum by (domain) (rate(codomain_requests_total"
                    f'{{{OF_DOMAIN}, verdict="relay"}}[$rate]))',
                    "{{domain}}",
                ),
            ),
            "reqps",
        ),
        Panel(
            "Call-outs by result",
            "What the next systems said when they were asked for a recipient. unsure: they did "
            "not say, and [callout] on_failure decides.",
            (
                Query(
                    "sum by (connector, result) "
                    "(rate(codomain_callout_requests_total{$by}[$rate])) or on() vector(0)",
                    "{{connector}}: {{result}}",
                ),
            ),
            "reqps",
            runbook="codomain-callout-failing",
        ),
        Panel(
            "Time of a call-out, 99 of 100",
            "How long the next system takes for a recipient that is in no cache.",
            (
                Query(
                    "histogram_quantile(0.99, sum by (connector, le) "
                    "(rate(codomain_callout_duration_seconds_bucket{$by}[$rate]))) "
                    "or on() vector(0)",
                    "{{connector}}",
                ),
            ),
            "s",
            thresholds=(("green", None), ("orange", 2), ("red", 10)),
        ),
    ),
)

INDEX = Row(
    "Index",
    (
        Panel(
            "Entries",
            "Entries of each local index (mode = sync). It should move slowly: a fall is a wrong "
            "base or filter, or many people leaving at once.",
            (
                Query(
                    "sum by (directory) (codomain_index_entries{$by}) or on() vector(0)",
                    "{{directory}}",
                ),
            ),
            "short",
            width=12,
        ),
        Panel(
            "Age",
            "Time since the index was last known to be in step with its directory. Past max_age "
            "it still serves, and who is new is deferred.",
            (
                Query(
                    "time() - min by (directory) (codomain_index_synced_timestamp_seconds{$by}) "
                    "or on() vector(0)",
                    "{{directory}}",
                ),
            ),
            "s",
            width=12,
            thresholds=(("green", None), ("orange", 600), ("red", 3600)),
            runbook="codomain-index-old",
        ),
    ),
)

PROCESS = Row(
    "Process",
    (
        Panel(
            "CPU",
            "Of one core. The doors run on one; libmilter and the searches beside it.",
            (
                Query(
                    "sum by (instance) (rate(process_cpu_seconds_total{$by}[$rate]))",
                    "{{instance}}",
                ),
            ),
            "percentunit",
            width=6,
        ),
        Panel(
            "Memory",
            "Resident; the mapped pages of an index count as well.",
            (
                Query(
                    "sum by (instance) (process_resident_memory_bytes{$by})",
                    "{{instance}}",
                ),
            ),
            "bytes",
            width=6,
        ),
        Panel(
            "File descriptors",
            "The part of the limit that is in use. At the limit new connections wait.",
            (
                Query(
                    "max by (instance) (process_open_fds{$by} / process_max_fds{$by})",
                    "{{instance}}",
                ),
            ),
            "percentunit",
            width=6,
            thresholds=(("green", None), ("orange", 0.7), ("red", 0.9)),
            runbook="codomain-file-descriptors",
        ),
        Panel(
            "Configuration",
            "Whether the last reload was taken. If not, the one before it is in force.",
            (
                Query(
                    "min by (instance) (codomain_config_last_reload_successful{$by})",
                    "{{instance}}",
                ),
            ),
            "short",
            kind="stat",
            width=3,
            values=(("0", "refused", "red"), ("1", "in force", "green")),
            runbook="codomain-reload-failed",
        ),
        Panel(
            "Version",
            "Which version answers.",
            (Query("max by (version) (codomain_build_info{$by})", "{{version}}"),),
            "short",
            kind="stat",
            width=3,
        ),
    ),
)

RELOADS = Query(
    "changes(codomain_config_last_reload_success_timestamp_seconds{$by}[$rate]) > 0",
    "reload",
)
"""When a configuration was taken into service: a mark on every panel."""
