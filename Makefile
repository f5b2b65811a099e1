# A thin front for CMake: what people type. `make help` lists it.
#
# The targets that a newcomer runs (demo, test) install the Debian packages they lack (tools/setup); the others expect
# them. BUILD, PREFIX, DESTDIR, JOBS and CMAKE_FLAGS may be given on the command line.

BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 60
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
CMAKE_FLAGS ?=

# Threads of waiting tests must not spin: as many tests run at once as there are cores.
CTEST = OMP_WAIT_POLICY=passive ctest --output-on-failure --parallel $(JOBS) --test-dir
SOURCES = $(shell find src include examples tests bench -name '*.[ch]' 2>/dev/null)

# Configures $(1) with the flags $(2), Ninja doing the work where it is installed, and builds all of it or the target $(3).
define cmake_build
@command -v cmake >/dev/null || { echo "cmake is missing; \`make setup\` installs what the build needs" >&2; exit 1; }
@if [ -f $(1)/CMakeCache.txt ]; then generator=; elif command -v ninja >/dev/null; then generator=-GNinja; fi; \
 cmake -S . -B $(1) $$generator $(2) $(CMAKE_FLAGS) >$(1).log 2>&1 || { cat $(1).log >&2; rm -f $(1).log; exit 1; }; \
 rm -f $(1).log
@cmake --build $(1) --parallel $(JOBS) $(if $(3),--target $(3))
endef

.PHONY: build demo test sanitize fuzz format format-check bench install clean setup help

build: ## build the program, the library and the tests
	$(call cmake_build,$(BUILD),)

demo: ## install what is missing, build, and run the demonstration: train a bridge, print the table
	@tools/setup
	$(call cmake_build,$(BUILD),)
	$(BUILD)/telepathy demo

test: ## install what is missing, build, and run every test and the format check
	@tools/setup --test
	$(call cmake_build,$(BUILD),)
	@$(CTEST) $(BUILD)
	@$(MAKE) --no-print-directory format-check

sanitize: ## run every test with AddressSanitizer and UndefinedBehaviorSanitizer (build-asan)
	@tools/setup --test
	$(call cmake_build,$(BUILD)-asan,-DTP_SANITIZE=ON)
	@$(CTEST) $(BUILD)-asan

format: ## bring the sources to the house's format
	@clang-format -i $(SOURCES)

format-check: ## fail where a source is not in the house's format
	@clang-format --dry-run --Werror $(SOURCES)
	@echo "format: all $(words $(SOURCES)) sources are as clang-format wants them"

fuzz: ## run every fuzzer for FUZZ_SECONDS, a minute (needs clang; build-fuzz)
	$(call cmake_build,$(BUILD)-fuzz,-DTP_FUZZ=ON -DTP_FUZZ_SECONDS=$(FUZZ_SECONDS) -DCMAKE_C_COMPILER=clang,fuzz)

bench: build ## build and run every benchmark
	@for program in $(BUILD)/bench_*; do [ -x $$program ] || continue; echo "== $$program"; $$program || exit 1; done

install: ## install below PREFIX (/usr/local); DESTDIR for packagers
	$(call cmake_build,$(BUILD),-DCMAKE_INSTALL_PREFIX=$(PREFIX))
	@DESTDIR=$(DESTDIR) cmake --install $(BUILD)

clean: ## remove what was built
	@rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-fuzz

setup: ## install the Debian packages that build and tests need (as root)
	@tools/setup --test

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 20
