#!/bin/sh
# The alerting rules are valid, and say of made-up series what they should.
set -eu
promtool check rules deploy/prometheus/tidegate.rules.yml
promtool test rules deploy/prometheus/tidegate.test.yml
