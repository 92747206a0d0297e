#!/bin/sh
# Starts Postfix in a container, with the lines of the configuration that codomain serves there.

set -eu

codomain postfix --apply
exec postfix start-fg
