# A thin layer over meson: two commands do everything on a fresh Debian 12, dependencies included.
#   make run          the main job: a busy device migrated live between two device servers on this machine
#   make test         all tests that need no download beyond packages
#   make test-peers   the tests with real kernels (downloads kernel packages; FULL=1 for all)
#   make soak         worlds and models, for SECONDS=600 each
#   make bench        the benchmarks; writes build/bench.json
#   make install      PREFIX=/usr/local DESTDIR=
PREFIX ?= /usr/local
BUILD = build

.PHONY: all deps run test test-peers soak bench install fuzz clean
all: deps $(BUILD)/build.ninja
	ninja -C $(BUILD)

deps:
	@scripts/deps build

$(BUILD)/build.ninja: | deps
	meson setup $(BUILD) --prefix=$(PREFIX)

run: all
	@scripts/demo $(BUILD)

test: all
	@scripts/test

test-peers: all
	@scripts/deps peers
	@tests/peers/run $(BUILD)

soak: all
	@scripts/soak $(BUILD) $(or $(SECONDS),600)

bench: all
	@bench/run $(BUILD)

fuzz:
	@scripts/deps fuzz
	@scripts/fuzz $(or $(SECONDS),60)

install: all
	DESTDIR=$(DESTDIR) meson install -C $(BUILD)

clean:
	rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-tsan
