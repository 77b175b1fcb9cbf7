# kaartd - see README.md. The two commands: `make demo` and `make check`.

VERSION := 0.1.0
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
PYTHON ?= /usr/bin/python3
KEEP ?= 1

# The one list of Debian packages: to build, and beside it what only tests, demo and lint need.
BUILD_PACKAGES := gcc make libc6-dev libcurl4-openssl-dev libuv1-dev libcjson-dev libsqlite3-dev libssl-dev \
                  zlib1g-dev libconfuse-dev libhttp-parser-dev
TEST_PACKAGES := libcmocka-dev libfaketime python3 python3-cryptography openssl curl ca-certificates sqlite3 clang-format

LINT_PACKAGES := clang-tidy cppcheck

BUILD := build$(if $(SANITIZE),/sanitize)
WARNINGS := -Wall -Wextra -Wconversion -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wvla -Werror=implicit
CFLAGS ?= -O2 -g
HARDENING := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
ifdef SANITIZE
HARDENING := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
endif
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -DKAARTD_VERSION='"$(VERSION)"' -I. $(WARNINGS) $(HARDENING) $(CFLAGS) -MMD -MP
ALL_LDFLAGS = $(if $(SANITIZE),-fsanitize=address$(comma)undefined,-pie -Wl$(comma)-z$(comma)relro$(comma)-z$(comma)now) $(LDFLAGS)
LIBS := -lcurl -luv -lcjson -lsqlite3 -lconfuse -lhttp_parser -lssl -lcrypto -lz -lpthread -lm
comma := ,

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' '$(1)' '$(2)';)

PROTOCOL_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard protocol/*.c))
CTL_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard daemon/ctl/*.c))
DAEMON_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(filter-out daemon/main.c daemon/ctl/%,$(wildcard daemon/*.c daemon/*/*.c)))
UNIT_TESTS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/test_*.c))
TEST_TOOLS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/tools/*.c))
FUZZERS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/fuzz/fuzz_*.c))
BENCHES := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/bench/*.c))
SOURCES := $(wildcard protocol/*.[ch] daemon/*.[ch] daemon/*/*.[ch] tests/*/*.[ch])

.PHONY: all deps tests demo check check-quick bench fuzz format format-check lint install uninstall clean help
.DELETE_ON_ERROR:
.SECONDARY:

all: $(BUILD)/kaartd $(BUILD)/kaartctl

help:
	@echo 'make            build kaartd and kaartctl into $(BUILD)/'
	@echo 'make demo       three nodes on loopback that exchange signed feeds (KEEP=0: end after the show)'
	@echo 'make check      every test; make check-quick: those that take seconds'
	@echo 'make bench      what it costs, as ratios within one run'
	@echo 'make fuzz       looks for inputs that break the protocol library (FUZZ_SECONDS=$(FUZZ_SECONDS) a target)'
	@echo 'make format     lay out the code; make lint: clang-tidy and cppcheck'
	@echo 'make install    DESTDIR=, PREFIX=$(PREFIX)'
	@echo 'options         SANITIZE=1 (ASan, UBSan), V=1 (show commands)'

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) -c -o $@ $<

# The library: pure, see spec/ and tests/check-pure.
$(BUILD)/libkaartd.a: $(PROTOCOL_OBJECTS)
	$(call say,AR,$@)rm -f $@; ar rcs $@ $^

$(BUILD)/daemon.a: $(DAEMON_OBJECTS)
	$(call say,AR,$@)rm -f $@; ar rcs $@ $^

# kaartctl without its main, so that tests can have its parts.
$(BUILD)/ctl.a: $(filter-out $(BUILD)/daemon/ctl/main.o,$(CTL_OBJECTS))
	$(call say,AR,$@)rm -f $@; ar rcs $@ $^

$(BUILD)/kaartd: $(BUILD)/daemon/main.o $(BUILD)/daemon.a $(BUILD)/libkaartd.a
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/kaartctl: $(CTL_OBJECTS) $(BUILD)/daemon.a $(BUILD)/libkaartd.a
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(BUILD)/ctl.a $(BUILD)/daemon.a $(BUILD)/libkaartd.a
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS) -lcmocka

# The test that fails each allocation in turn stands between the library and the C library's.
$(BUILD)/tests/unit/test_nomem: LDFLAGS += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc

# Fuzz targets as ordinary programs that take seeds; `make fuzz` builds them for libFuzzer.
$(BUILD)/tests/fuzz/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/replay.o $(BUILD)/libkaartd.a
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

tests: all $(UNIT_TESTS) $(TEST_TOOLS) $(FUZZERS)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

# Installs what is missing, as root or with sudo.
deps:
	@missing=''; for p in $(BUILD_PACKAGES) $(TEST_PACKAGES); do \
	  dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  echo "installing:$$missing"; sudo=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	  $$sudo apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi

demo: deps
	$(Q)$(MAKE) --no-print-directory -j2 all
	$(Q)KEEP=$(KEEP) BUILD=$(BUILD) $(PYTHON) tests/demo/demo.py

check-quick: deps
	$(Q)$(MAKE) --no-print-directory -j2 tests
	$(Q)BUILD=$(BUILD) $(PYTHON) tests/run.py quick

check: deps
	$(Q)$(MAKE) --no-print-directory -j2 tests
	$(Q)$(MAKE) --no-print-directory -j2 tests SANITIZE=1
	$(Q)BUILD=$(BUILD) $(PYTHON) tests/run.py all

bench: deps
	$(Q)$(MAKE) --no-print-directory -j2 all $(BENCHES)
	@for bench in $(BENCHES); do echo "$${bench##*/}:"; $$bench || exit 1; done

# Looks for inputs that break a property, FUZZ_SECONDS for each target; what it finds lands in build/fuzz.
FUZZ_SECONDS ?= 60
FUZZ_PACKAGES := clang libclang-rt-14-dev
fuzz:
	$(Q)$(MAKE) --no-print-directory deps TEST_PACKAGES='$(FUZZ_PACKAGES)'
	$(Q)$(PYTHON) -B tests/fuzz/make_seeds.py build/fuzz/seeds
	$(Q)set -e; for target in $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c)); do \
	  echo "fuzz_$$target"; mkdir -p build/fuzz/corpus/$$target; \
	  clang -std=c11 -D_GNU_SOURCE -I. -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
	    -o build/fuzz/fuzz_$$target tests/fuzz/fuzz_$$target.c protocol/*.c -lcjson -lcrypto -lm; \
	  build/fuzz/fuzz_$$target -max_total_time=$(FUZZ_SECONDS) -max_len=8192 -timeout=10 -print_final_stats=1 \
	    -artifact_prefix=build/fuzz/$$target- build/fuzz/corpus/$$target build/fuzz/seeds/$$target \
	    $$(ls -d tests/fuzz/seeds/$$target 2>/dev/null) >build/fuzz/$$target.log 2>&1 || \
	    { tail -40 build/fuzz/$$target.log; exit 1; }; \
	  grep number_of_executed_units build/fuzz/$$target.log; \
	done

format:
	clang-format -i $(SOURCES)

format-check:
	@clang-format --dry-run -Werror $(SOURCES)

lint:
	$(Q)$(MAKE) --no-print-directory deps TEST_PACKAGES='$(LINT_PACKAGES) libcmocka-dev'
	clang-tidy --quiet $(filter %.c,$(SOURCES)) -- -std=c11 -D_GNU_SOURCE -DKAARTD_VERSION='"$(VERSION)"' -I.
	cppcheck --quiet --enable=warning,portability,performance --inline-suppr --error-exitcode=1 \
	  --suppress=missingInclude -D_GNU_SOURCE -I. protocol daemon

install: all
	install -D -m 755 $(BUILD)/kaartd $(DESTDIR)$(PREFIX)/sbin/kaartd
	install -D -m 755 $(BUILD)/kaartctl $(DESTDIR)$(PREFIX)/bin/kaartctl
	install -D -m 644 peers.example.conf $(DESTDIR)$(PREFIX)/share/doc/kaartd/peers.example.conf
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|/usr/local|$(PREFIX)|g' systemd/kaartd.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/kaartd.service
	chmod 644 $(DESTDIR)$(PREFIX)/lib/systemd/system/kaartd.service
	install -D -m 644 systemd/kaartd.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/kaartd.conf
	install -D -m 644 systemd/kaartd.tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/kaartd.conf
	install -d $(DESTDIR)$(PREFIX)/share/kaartd/mappings
	install -m 644 $(wildcard daemon/source/mappings/*.json) $(DESTDIR)$(PREFIX)/share/kaartd/mappings

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/sbin/kaartd $(DESTDIR)$(PREFIX)/bin/kaartctl \
	  $(DESTDIR)$(PREFIX)/lib/systemd/system/kaartd.service $(DESTDIR)$(PREFIX)/lib/sysusers.d/kaartd.conf \
	  $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/kaartd.conf
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/kaartd $(DESTDIR)$(PREFIX)/share/kaartd

clean:
	rm -rf build
