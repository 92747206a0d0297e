"""The Grafana dashboard, written from what codomain counts; nothing of it runs in the daemon."""
