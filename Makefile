# Each target does all the set-up that it needs. `make` lists them.
# For GNU make 3.81 and later, on Linux and macOS.

SHELL = /bin/sh
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || echo python3)
READY = .venv/.ready
RUN = .venv/bin/python
THREADS = OMP_NUM_THREADS=$${OMP_NUM_THREADS:-2}
STRIP = metadata.papermill cell.metadata.papermill cell.metadata.execution metadata.language_info

COURSEWORK = 00 10 20 21 22 23 24 25 32 90
CONTRIBUTION = 01 30 31 33 34 40 41 42 43 70 71
SYSTEMS = 50 51 60

.PHONY: help report contribution systems test lab fuzz bench bench-publish readme pretrain strip

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

report: $(READY) ## render the toy city, run the notebooks of the coursework, build reports/draft.pdf
	$(RUN) data_scripts/toy_city.py
	$(RUN) reports/run_notebooks.py --profile smoke $(COURSEWORK)
	$(RUN) reports/build.py --profile smoke

contribution: $(READY) ## the same for own photographs, SARE, losses, speed, large databases: the PDF holds what was run
	$(RUN) data_scripts/toy_city.py
	$(RUN) reports/run_notebooks.py --profile smoke $(CONTRIBUTION) 90
	$(RUN) reports/build.py --profile smoke

systems: $(READY) ## the same for CosPlace, its night study, and from the street to the map, on other cities
	$(RUN) data_scripts/toy_city.py --city toycity_dense
	$(RUN) data_scripts/toy_city.py --city toycity_pairs
	$(RUN) reports/run_notebooks.py --profile smoke $(SYSTEMS) 90
	$(RUN) reports/build.py --profile smoke

test: $(READY) ## run the tests
	$(RUN) -m pytest -n logical --maxprocesses 8 --dist worksteal

lab: $(READY) ## render the toy city, open copies of the notebooks in JupyterLab: make lab ARGS="--no-browser --port 9999"
	$(RUN) data_scripts/toy_city.py
	$(RUN) reports/lab.py $(ARGS)

fuzz: $(READY) ## feed changed names, files and tables to all that reads them, for five minutes
	$(RUN) -m tests.fuzz

bench: $(READY) ## time every stage against the field's reference code
	$(THREADS) $(RUN) benchmarks/run.py

bench-publish: $(READY) ## the same, written to benchmarks/results_cpu.csv and the table of benchmarks/README.md
	$(THREADS) $(RUN) benchmarks/run.py --publish

readme: $(READY) ## the README's pictures and tables from the results of make report, and its table of options
	$(RUN) reports/readme.py

pretrain: $(READY) ## the weights that rehearsals start from, learned on another rendered city, ten minutes
	$(RUN) data_scripts/pretrain.py

strip: $(READY) ## clean outputs out of the notebooks, format and check all code
	.venv/bin/nbstripout --keep-id --extra-keys "$(STRIP)" notebooks/*.ipynb
	.venv/bin/ruff format .
	.venv/bin/ruff check .

# The stamp comes last. A set-up that was killed leaves .venv/.unfinished behind and is begun anew.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 14) or sys.exit( \
	  "$(PYTHON) is Python %d.%d; 3.11, 3.12 or 3.13 is needed: make PYTHON=/path/to/python3.11" % sys.version_info[:2])'
	@test ! -e .venv/.unfinished || rm -rf .venv
	@echo 'Setting up .venv, once: a few minutes and several GB, most of them PyTorch.'
	@mkdir -p .venv && touch .venv/.unfinished && rm -f $(READY)
	$(PYTHON) -m venv .venv
	$(RUN) -m pip install --quiet --disable-pip-version-check uv
	.venv/bin/uv pip install --compile-bytecode --python $(RUN) --editable '.[dev]'
	@mv .venv/.unfinished $(READY)
