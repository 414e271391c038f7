# Two commands do all the set-up they need:   make demo   and   make test
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: help demo test check unit browser bench torture docs clean

help:            ## this list
	@grep -hE '^[a-z]+: .*##|^[a-z]+:  *##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 12

demo: $(READY)   ## the whole job on generated photographs: pack, train, predict, report (./demo)
	$(BIN)/prebake demo -o demo

test: check browser unit  ## everything that must hold: style, types, layers, tests

check: $(READY)  ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(READY)   ## the tests alone
	$(BIN)/python -m pytest -n 2 --dist loadgroup

browser:         ## Chromium for the tests that open a report (needs root; without it those tests skip, saying so)
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; } \
	  || echo "no chromium here: the browser tests will be skipped (as root: apt-get install chromium)"

bench: $(READY)  ## every measurement, short: on drawn photographs, or make bench DATA=photographs/
	$(BIN)/python bench/quick.py $(DATA)

torture: $(READY) ## broken photographs, flipped bits, killed and interrupted commands, and what comes of each: two hours
	$(BIN)/python torture/poison.py
	$(BIN)/python torture/flips.py
	$(BIN)/python torture/kills.py
	$(BIN)/python torture/signals.py
	$(BIN)/python torture/fuzz.py

docs: $(READY)   ## the generated pages
	$(BIN)/python docs/generate_cli.py
	$(BIN)/python docs/generate_performance.py

clean:           ## remove the environment and everything generated
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,lite0,cluster,remote,dev]'
	@touch $@
