# Every target sets up .venv first (once, and again when pyproject.toml changes). `make` alone lists the targets.
# Options: CONFIG=nano|small|base|large  BOARD=name  TB=name  SEED=n  TEST=regex  WAVES=1  PROOF="names"

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
CONFIG ?=
export AMARANTH_USE_YOSYS := builtin
# A make started by make would hand its own flags and job server on to the builds inside.
unexport MAKEFLAGS MFLAGS MAKELEVEL

.DEFAULT_GOAL := help
.PHONY: bench-fpga help setup run test lint format unit sim wave formal coverage verilog bench bench-noc faults bitstream bitstreams program docs doctor repl clean

help: ## list the targets
	@echo "usage: make TARGET [OPTION=value]"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

$(STAMP): pyproject.toml
	@$(PYTHON) scripts/bootstrap.py $(VENV)
	@touch $@

setup: $(STAMP) ## make .venv and install what is needed into it

run: $(STAMP) ## run the digits network on the simulated chip
	@$(BIN)/meshium run digits $(if $(CONFIG),--config $(CONFIG))

test: $(STAMP) ## lint, type check and every test
	@$(BIN)/python -m scripts.regression

lint: $(STAMP) ## style, formatting and types
	@$(BIN)/python -m scripts.regression lint

format: $(STAMP) ## put the sources into the form lint wants
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

sim: $(STAMP) ## cocotb testbenches: all, or TB=name [CONFIG=name] [SEED=n] [TEST=regex] [WAVES=1] [LEVEL=gate]
	@$(BIN)/python -m tb $(TB) $(if $(CONFIG),--config $(CONFIG)) $(if $(SEED),--seed $(SEED)) $(if $(TEST),--only '$(TEST)') $(if $(WAVES),--waves) $(if $(LEVEL),--level $(LEVEL))

wave: $(STAMP) ## waveform of a testbench and a viewer file: TB=name [CONFIG=name] [SEED=n] [TEST=regex]
	@$(BIN)/python -m tb $(or $(TB),tile) $(if $(CONFIG),--config $(CONFIG)) $(if $(SEED),--seed $(SEED)) $(if $(TEST),--only '$(TEST)') --waves --viewer

formal: $(STAMP) ## proofs: all, or PROOF="name name"
	@$(BIN)/python -m tb.formal $(PROOF)

coverage: $(STAMP) ## line and toggle coverage of the testbenches, one report
	@$(BIN)/python -m scripts.coverage $(TB)

verilog: $(STAMP) ## readable Verilog of the chip: CONFIG=name
	@$(BIN)/python -m scripts.verilog $(or $(CONFIG),base)

bench: $(STAMP) ## every measured figure beside its limit
	@$(BIN)/meshium bench

bench-noc: $(STAMP) ## the mesh: traffic beside its limits and peers
	@$(BIN)/python -m scripts.cmd_bench_noc

bench-fpga: $(STAMP) ## area and clock of every unit of the chip; the change against the committed table
	@$(BIN)/meshium synth --bench

faults: $(STAMP) ## seeded faults of the router, and the checks that catch them
	@$(BIN)/python -m scripts.faults

bitstream: $(STAMP) ## bitstream of a board, its clock met: BOARD=name [CONFIG=name] [SEEDS=1,2]
	@$(BIN)/meshium bitstream $(or $(BOARD),$(error BOARD must name a board, as in make bitstream BOARD=icebreaker; docs/boards.md lists them)) $(if $(CONFIG),--config $(CONFIG)) $(if $(SEEDS),--seeds $(SEEDS))

bitstreams: $(STAMP) ## the bitstreams of all boards
	@$(BIN)/meshium bitstream

program: $(STAMP) ## load a bitstream into a board: BOARD=name [CONFIG=name] [CABLE=name] [FLASH=1]
	@$(BIN)/meshium program $(or $(BOARD),$(error BOARD must name a board, as in make program BOARD=icebreaker; docs/boards.md lists them)) $(if $(CONFIG),--config $(CONFIG)) $(if $(CABLE),--cable $(CABLE)) $(if $(FLASH),--flash)

docs: $(STAMP) ## the book as HTML in build/docs
	@$(BIN)/python -m scripts.docs

doctor: ## what this machine lacks; works without .venv
	@$(PYTHON) scripts/doctor.py

repl: $(STAMP) ## the simulated chip at a prompt: CONFIG=name
	@$(BIN)/python -m sim.verilated.repl $(if $(CONFIG),--config $(CONFIG))

clean: ## remove everything generated, .venv excepted
	rm -rf build .pytest_cache .ruff_cache .hypothesis meshium.egg-info
	find hw sw sim tb scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +
