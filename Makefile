# Everything a newcomer types. Programs that a target needs and that are missing are installed by tests/setup.sh, which
# says what it installs.

.PHONY: help quickstart test check bench loadtest logins identity floor seeds fuzz model asan packaging setup

help:
	@echo "make quickstart   build, start a PostgreSQL to throw away with pgweir in front, show logins by IAM"
	@echo "make test         run every test, end with the totals"
	@echo "make check        format, lints, documentation"
	@echo "make bench        microbenchmarks (criterion)"
	@echo "make loadtest     compare with PgBouncer, write the tables of docs/benchmarks.md; QUICK=1 for a short look"
	@echo "make logins       client logins alone, a part of make loadtest; builds what logs in first (some minutes)"
	@echo "make identity     what the audit log and logins by tokens cost, another table of that page"
	@echo "make floor        how far from bare relays, another table of that page; QUICK=1 for a short look"
	@echo "make seeds        the simulation with many seeds, optimized; SEEDS=n, FROM=n"
	@echo "make model        loom over what threads share: every order of them"
	@echo "make asan         isolation, e2e and hostile before a program under the address sanitizer; SUITES=..."
	@echo "make packaging    the Debian package, units, manual pages, completions: built and tried; QUICK=1 for less"
	@echo "make fuzz         each fuzz target for a minute; SECONDS_EACH=n for another time"

quickstart:
	@sh tests/setup.sh quickstart
	@sh tests/quickstart.sh

setup:
	@sh tests/setup.sh test

test: setup
	@sh tests/run.sh

check:
	python3 loadtest/picture.py --check
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo fmt --check --manifest-path loadtest/relay/Cargo.toml
	cargo clippy --locked --all-targets --manifest-path loadtest/relay/Cargo.toml \
		--target-dir $(or $(CARGO_TARGET_DIR),target)/relay -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --locked --no-deps --document-private-items

bench:
	cargo bench --locked

loadtest:
	@sh tests/setup.sh loadtest
	python3 loadtest/run.py $(if $(QUICK),--quick,--page)
	python3 loadtest/logins.py $(if $(QUICK),--quick,--page)
	python3 loadtest/picture.py

logins:
	@sh tests/setup.sh loadtest
	python3 loadtest/logins.py $(if $(QUICK),--quick,--page)

identity:
	@sh tests/setup.sh loadtest
	python3 loadtest/identity.py $(if $(QUICK),--quick,--page)

floor:
	@sh tests/setup.sh loadtest
	python3 loadtest/floor.py $(if $(QUICK),--quick,--page)

packaging:
	@sh packaging/test/run.sh

fuzz:
	@sh fuzz/run.sh

seeds:
	@sh tests/seeds.sh $(or $(SEEDS),200000) $(or $(FROM),0)

model:
	@sh tests/model.sh

asan:
	@sh tests/asan.sh $(SUITES)
