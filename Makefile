# The commands of the repository. Nothing but cargo is needed beforehand: deploy/setup.sh installs
# what is missing, or says in one sentence what to do.

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
# Where `make install` puts the program; DESTDIR stands before it, for packages.
PREFIX ?= /usr/local
# `make run` and `make demo` build with the same features, so that neither compiles again what the other has
# compiled. An example instead of a program of its own would also take the dependencies of the tests, with
# other features, and compile nearly everything a second time.
BUILD := cargo build --release --locked --features demo
# rustup puts cargo there; a shell that was open before may not know yet.
export PATH := $(HOME)/.cargo/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help run dist install test test-all torture demo bench bench-peers lint deb sbom

help:
	@echo 'make run     start the daemon: API on 127.0.0.1:7411, data on a Redis of its own'
	@echo '             CONFIG=FILE takes a configuration, ARGS=... further flags of tidegate serve'
	@echo 'make demo    watch a flood drain into a slow SMS gateway and a windowed ERP link'
	@echo 'make install put the optimised program, its service, completions and man pages under PREFIX=/usr/local;'
	@echo '             as another user: make dist, then sudo make install'
	@echo 'make test    run the tests that need cargo, redis-server, curl, jq and python3 alone'
	@echo 'make test-all   the same, then what needs Valkey or more time, the packages, manifests and'
	@echo '             alerting rules (Debian, as root)'
	@echo 'make deb     the Debian package; make sbom: the list of components (CycloneDX)'
	@echo 'make torture MINUTES=n SEED=s [SCENARIO=name]'
	@echo '             kill, cut and spoil everything for so long, and judge what became of the messages'
	@echo 'make bench   Tidegate beside the physical limit of this machine; ARGS="--only 3,10 --rounds 1"'
	@echo 'make bench-peers   the same, then peers on the same machine (needs node)'
	@echo 'make lint    formatting, lints and docs, with warnings as errors'

run:
	@sh deploy/setup.sh cargo redis
	$(BUILD) --bin tidegate
	@exec $(TARGET_DIR)/release/tidegate serve $(if $(CONFIG),--config $(CONFIG)) $(ARGS)

dist:
	@sh deploy/setup.sh cargo
	cargo build --profile dist --locked --bin tidegate

# Root may have no cargo; then what `make dist` built is installed.
install:
	@if command -v cargo >/dev/null; then $(MAKE) --no-print-directory dist; fi
	@sh deploy/install.sh '$(TARGET_DIR)/dist/tidegate' '$(PREFIX)' '$(DESTDIR)'

# Most of a scenario is waiting, so that there may be more of them at a time than there are cores.
CORES := $(or $(shell getconf _NPROCESSORS_ONLN 2>/dev/null),2)
export RUST_TEST_THREADS ?= $(shell expr $(CORES) \* 3 / 2)
# So few scenarios that fail beside others get a second try alone (tests/run.sh); 0: none does.
export REPEAT_FAILED ?= 8

# With the failpoints of src/failpoint.rs compiled in, which no other target does. The house's own
# checks come last, so that the runner's closing line is about tests that ran.
test:
	@sh deploy/setup.sh cargo redis curl jq python3
	cargo test --locked --features failpoints --doc
	cargo test --locked --features failpoints --bench suite
	cargo test --locked --features failpoints --lib --bins --tests

# The scenarios that need Valkey or take long (the next line leaves out what is not a scenario or belongs to
# the packages' checks), then what is shipped beside the source: see tests/packages/run.sh. Its own closing
# line ends the log.
test-all: export TIDEGATE_SEEN := $(abspath $(TARGET_DIR))/packages/seen
test-all: forget-seen test
	@sh deploy/setup.sh cargo redis valkey venv npm nginx chromium tinyproxy openssl prometheus debootstrap cargo-deb cargo-cyclonedx
	cargo it -- --ignored --skip alerts::live --skip rig::recorder --skip rig::torture \
		--skip the_scripts_of_lanes_are_measured
	sh tests/packages/run.sh

# The answers that scenarios see are kept for the check of the generated clients, which needs no run of its own then.
.PHONY: forget-seen
forget-seen:
	@rm -rf '$(TIDEGATE_SEEN)'

# The profile of what is packaged. `target/release` in Cargo.toml's list of files stands for its folder.
PROFILE ?= dist
DIST := $(TARGET_DIR)/$(PROFILE)

deb:
	@sh deploy/setup.sh cargo cargo-deb
	cargo build --locked --profile $(PROFILE) --bin tidegate
	sh deploy/share.sh $(DIST)/tidegate $(DIST)/share
	PATH="$(abspath $(TARGET_DIR))/tools/bin:$$PATH" cargo deb --quiet --locked --no-build --profile $(PROFILE)
	@ls $(TARGET_DIR)/debian/*.deb

sbom:
	@sh deploy/setup.sh cargo cargo-cyclonedx
	PATH="$(abspath $(TARGET_DIR))/tools/bin:$$PATH" \
	cargo cyclonedx --quiet --format json --spec-version 1.5 --override-filename tidegate.cdx
	@mkdir -p $(DIST) && mv tidegate.cdx.json $(DIST)/ && ls $(DIST)/tidegate.cdx.json

MINUTES ?= 10
SEED ?= 1

# A campaign of the fault rig, tests/it/rig: progress as it goes, a table at the end, the same as JSON
# beside it. A failed run prints its seed and where its history lies. Clients come by the thousand.
torture:
	@sh deploy/setup.sh cargo redis
	@ulimit -n $$(ulimit -H -n) && TIDEGATE_TORTURE='$(MINUTES) $(SEED) $(SCENARIO)' \
	cargo test --release --locked --features failpoints --test it -- \
	  --exact rig::torture::campaign --ignored --nocapture

demo:
	@sh deploy/setup.sh cargo redis
	$(BUILD)
	@exec $(TARGET_DIR)/release/demo

# A table at the end, the same as JSON beside it; docs/measurements.md says what it means. Clients come by
# the thousand.
bench:
	@sh deploy/setup.sh cargo redis
	@ulimit -n $$(ulimit -H -n) && cargo bench --locked --bench suite -- $(ARGS)

bench-peers:
	@sh benches/peers/run.sh check
	@$(MAKE) --no-print-directory bench
	@sh benches/peers/run.sh

# Warnings become errors here, by arguments: RUSTFLAGS would compile every dependency once more. The
# second clippy sees what is shipped.
lint:
	@sh deploy/setup.sh cargo
	cargo fmt --check
	cargo clippy --locked --features failpoints,demo --all-targets -- -D warnings
	cargo clippy --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps
