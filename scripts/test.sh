#!/bin/sh
# Formatting, lints, and all tests. Needs the default model and ffmpeg (`make test` sees to both).
set -eu
cd "$(dirname -- "$0")/.."

step() { printf '\n== %s\n' "$*" >&2; }

step "formatting"
cargo fmt --all --check

step "clippy, warnings are errors"
cargo clippy --release --locked --workspace --all-targets -- -D warnings

step "fuzz targets"
scripts/fuzz.sh check

step "the chart, and the script that fetches models"
scripts/helm.sh
tests/scripts/model.sh

step "the official client of OpenAI's API, the library of Standard Webhooks, and schemathesis, for the tests"
scripts/python-modules.sh tests/openai/requirements.txt >/dev/null
scripts/python-modules.sh tests/webhooks/requirements.txt >/dev/null
scripts/python-modules.sh tests/openapi/requirements.txt >/dev/null

step "starting RabbitMQ, Redis and an S3 server for the tests"
scripts/services-install.sh
services=$(mktemp -d)
services_test=
end_services() {
  if [ -n "$services_test" ]; then
    kill "$services_test" 2>/dev/null || :
    wait "$services_test" || :
  fi
  scripts/services.sh stop "$services" --wipe || :
  rm -rf "$services"
}
trap end_services EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
scripts/services.sh start "$services" --base-port 27400
# shellcheck source=/dev/null
(
  . "$services/env"
  printf 'export SCRIPTORIUM_TEST_AMQP_URL="%s" SCRIPTORIUM_TEST_REDIS_URL="%s"\n' "$SCRIPTORIUM_AMQP_URL" "$SCRIPTORIUM_REDIS_URL"
  printf 'export SCRIPTORIUM_TEST_S3_ENDPOINT="%s" SCRIPTORIUM_TEST_S3_ACCESS_KEY="%s" SCRIPTORIUM_TEST_S3_SECRET_KEY="%s"\n' \
    "$SCRIPTORIUM_S3_ENDPOINT" "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY"
) >"$services/urls"
# Not the variables of the services themselves: a role that is tested without its settings must not find them.
# shellcheck source=/dev/null
. "$services/urls"
# From here on a test that needs a service fails where there is none.
export SCRIPTORIUM_TEST_SERVICES=1 SCRIPTORIUM_TEST_SERVICES_DIR="$services"

# nextest shows more and keeps tests apart in processes; cargo's own runner runs the same tests. How many run beside each
# other: .config/nextest.toml.
runner='test'
if cargo nextest --version >/dev/null 2>&1; then runner="nextest run --test-threads $((2 * $(nproc)))"; fi
run_tests() {
  # shellcheck disable=SC2086 # several words
  cargo $runner --release --locked --workspace --no-fail-fast "$@"
}

step "unit, property, contract and end-to-end tests"
run_tests

step "the services that the roles need: started, killed, started again; beside what follows"
tests/scripts/services.sh >"$services/services-test.log" 2>&1 &
services_test=$!

step "end-to-end tests once more, on two of each role"
# What is left out, and where it is shown instead: docs/proof.md.
SCRIPTORIUM_TEST_ROLES=1 run_tests --test bad_input --test cache --test crash --test jobs --test keys --test languages --test llm --test main_job --test openai_client \
  --test openai_engine --test readme --test source --test webhooks --test whole --test words -- \
  --skip text_is_right --skip every_format --skip the_command_writes_words_too \
  --skip a_server_that_is_killed --skip without_time --skip through_redis --skip a_redis_that

if [ "$runner" != test ]; then
  step "examples in the documentation"
  cargo test --release --locked --workspace --doc --quiet
fi

step "how the services have done"
services_ended=0
wait "$services_test" || services_ended=$?
services_test=
cat "$services/services-test.log" >&2
[ "$services_ended" = 0 ] || exit 1

step "all is well"
