# SPDX-License-Identifier: BSD-3-Clause
# The front door. CMakeLists.txt knows how things are built; scripts/ and tests/run.py know the rest.
#
#   make deps        install the packages that are missing (Debian 12, root)
#   make             build the programs into build/bin
#   make demo        install, build, collect real flows, query them
#   make check       fast: format, layers, warnings, unit tests under ASan
#   make test        all that the build server runs
#   make test-long   the same with more rounds; make fuzz-long: FUZZ_SECONDS (600) per fuzz target
#   make soak        an hour of faults on a cluster under load (tests/cluster/soak.py)
#   make bench       compare with nfdump, write bench/results.md
#   make install     into $(DESTDIR)$(PREFIX)
#   make clean

BUILD  ?= build
JOBS   ?= $(shell nproc)
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 600

# CMake's own make is no part of this make's job server.
CMAKE = env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS cmake

.PHONY: all deps demo demo-cluster check test test-long fuzz-long soak bench install clean

all: $(BUILD)/CMakeCache.txt
	@$(CMAKE) --build $(BUILD) -j $(JOBS)

$(BUILD)/CMakeCache.txt: CMakeLists.txt
	@$(CMAKE) -S . -B $(BUILD) -DSC_TESTS=OFF -DCMAKE_INSTALL_PREFIX=$(PREFIX)
	@touch $@

deps:
	@sh scripts/deps.sh

demo-cluster:
	@sh scripts/deps.sh build demo
	@$(MAKE) --no-print-directory all
	@sh scripts/demo-cluster.sh $(BUILD)

demo:
	@sh scripts/deps.sh build demo
	@$(MAKE) --no-print-directory all
	@sh scripts/demo.sh $(BUILD)

check:
	@python3 tests/run.py check --build $(BUILD) --jobs $(JOBS)

test: deps
	@python3 tests/run.py test --build $(BUILD) --jobs $(JOBS)

test-long: deps
	@python3 tests/run.py long --build $(BUILD) --jobs $(JOBS)

fuzz-long: deps
	@python3 tests/run.py fuzz --build $(BUILD) --jobs $(JOBS) --fuzz-seconds $(FUZZ_SECONDS)

soak: deps all
	@SC_BUILD="$$(realpath $(BUILD))" python3 tests/cluster/soak.py

bench: deps all
	@python3 bench/run.py --build $(BUILD)

install: all
	@DESTDIR=$(DESTDIR) $(CMAKE) --install $(BUILD) --prefix $(PREFIX)

clean:
	@rm -rf $(BUILD)
