# `make demo` and `make test` set up what they need, in .venv. VENV= names another environment: where that holds another
# torch than constraints.txt names, its packages are left alone, and only tinkit itself and what it lacks are installed.
# `make test PYTHON=python3.13 VENV=.venv313` runs another interpreter; CONSTRAINTS= takes the newest packages that pip
# finds, but for torch and what must fit it.
PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
BIN = $(VENV)/bin
STAMP = $(VENV)/.tinkit-ready

.PHONY: demo demo-seeds offsets loss-weight starts study-lags test test-interpreter test-slow test-thorough test-all check format clean gpu gpu-wheels help bench-metrics bench-engine bench-resume
.PHONY: docs docs-check bench-submit bench-data bench-packed bench-prepare fuzz
.PHONY: bench-checkpoints bench-ops bench-models bench-runtimes bench-rtcn bench-zoo docs-models bench-fusion bench-fusion-scale flow-demo lite-demo test-models
.PHONY: proof-faults proof-resume proof-train proof-wheel coverage mutation

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 20

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || { python=$$(.ci/interpreter $(PYTHON)) && $$python -m venv $(VENV); } || \
	  { echo "there is no $(PYTHON) that can make an environment" >&2; exit 1; }
	@pins=$$(mktemp); trap 'rm -f "$$pins"' EXIT; \
	grep -E '^(torch|torchvision|triton)==' constraints.txt >$$pins; \
	if torch=$$($(BIN)/python -c 'from importlib.metadata import version; print(version("torch"))' 2>/dev/null) && \
	  ! grep -qx "torch==$${torch%+*}" $$pins; then \
	  echo "torch==$$torch" >$$pins; \
	elif [ -n "$(CONSTRAINTS)" ]; then \
	  cat $(CONSTRAINTS) >$$pins; \
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

loss-weight: $(STAMP) ## five factors of the loss over three seeds, into benchmarks/results/loss_weight.csv
	$(BIN)/python -m benchmarks.loss_weight

starts: $(STAMP) ## starts of branches and classifier, into benchmarks/results/starts.csv
	$(BIN)/python -m benchmarks.starts

study-lags: $(STAMP) ## TSN, TSM, r-TCN and TIN on the challenge of lags over five seeds, into benchmarks/results/study_lags.csv
	$(BIN)/python -m benchmarks.study_lags
	$(BIN)/python -m benchmarks.lag_reasons

# Bytecode is kept whatever the environment says: the tests start many processes, and pytest rewrites each of its files.
export PYTHONDONTWRITEBYTECODE =
# Two workers take a half of the tests each, one beside another, and then what the other has left: what the tests of a
# file share is made once.
ON_TWO = -m pytest -n 2 --dist worksteal
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python $(ON_TWO)
# The slow ones wait for other processes half of the time.
SLOW = $(subst -n 2,-n 4,$(PYTEST))
# What the operators run in, native kernels or plain PyTorch, is decided once a process. Networks of three dimensions
# and the consensus have none of them, what a network reads and what its checkpoints are called has nothing to do with
# them, and what leaves the house is plain PyTorch either way.
QUICK = "not slow and not thorough"
PLAIN = TINKIT_NATIVE=0 $(PYTEST) tests/ops tests/models tests/engine/exchange/test_export.py \
  $(addprefix --ignore=tests/models/,clipnets foreign backbones/test_families_leave.py test_consensus.py \
  test_modality.py test_hub.py)

test: $(STAMP) ## the quick tests, and those of operators and models again in plain PyTorch: six minutes on two cores
	$(PYTEST) -m $(QUICK)
	$(PLAIN) -m $(QUICK)

test-slow: $(STAMP) ## slower tests, which CI runs after those of `make test`
	$(SLOW) -m slow

test-thorough: $(STAMP) ## many networks, many kills, and the slow ones in plain PyTorch: what CI has no time for
	$(PYTEST) -m thorough
	$(PLAIN) -m "slow or thorough"

# What depends on the interpreter and on PyAV, numpy, pandas and pydantic, in two minutes.
test-interpreter: $(STAMP) ## a part of `make test` for other interpreters: with PYTHON=python3.13 VENV=.venv313
	$(PYTEST) -m $(QUICK) tests/recipe tests/files tests/workers tests/scores tests/data/clips tests/data/decode

coverage: $(STAMP) ## what `make test` runs of tinkit, into benchmarks/results/coverage.csv and coverage_gaps.csv
	rm -rf build/coverage && mkdir -p build/coverage
	$(MAKE) test PYTEST="OMP_NUM_THREADS=1 $(BIN)/python -m coverage run $(ON_TWO)"
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage json --quiet --ignore-errors -o build/coverage/report.json
	$(BIN)/python -m benchmarks.coverage_table build/coverage/report.json

mutation: $(STAMP) ## a seeded sample of mutants against their tests, into benchmarks/results/mutation.csv
	$(BIN)/python -m benchmarks.mutation

test-all: test test-slow test-thorough ## every test that runs here

SOURCES = $(shell find kernels -name '*.h' -o -name '*.cpp' -o -name '*.cu')

check: $(STAMP) ## format, lint, types and spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/codespell
	$(BIN)/clang-format --dry-run --Werror $(SOURCES)

format: $(STAMP) ## apply the formatters and the linter's fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/clang-format -i $(SOURCES)

bench-fusion: $(STAMP) ## auto on made-up members beside search and means, into benchmarks/results/fusion.csv
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.fusion
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.fusion --large
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.fusion --worlds digits

bench-fusion-scale: $(STAMP) ## fusions of 200,000 and a million clips beside NumPy, into benchmarks/results/fusion_scale.csv
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.fusion_scale
bench-metrics: $(STAMP) ## metrics against scikit-learn's loop
	$(BIN)/python -m benchmarks.metrics

# Kits that tinkit does not depend on are installed beside the environment; where one cannot be had its rows are left out.
bench-data: $(STAMP) ## training clips beside other kits' pipelines, into benchmarks/results/data.csv
	for peer in decord==0.6.0 torchcodec==0.13.0; do \
	  test -d build/peers/$${peer%%=*} || \
	  $(BIN)/python -m pip install --quiet --no-deps --target build/peers $$peer || echo "left out: $$peer" >&2; \
	done
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.data
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.data_before

bench-packed: $(STAMP) ## packed frames beside pread and beside folders, into benchmarks/results/packed.csv
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.packed
bench-prepare: $(STAMP) ## what data prepare costs, into benchmarks/results/prepare.csv; makes a million links for a while
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.prepare

# The real films come from PyPI, into build/fuzz; without them, encodings of photographs stand for them.
fuzz: $(STAMP) ## mutated files of every kind in a child with limits, into benchmarks/results/fuzz.csv; half an hour
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.fuzz

bench-engine: $(STAMP) ## what the engine adds to a step, into benchmarks/results/engine.csv
	$(BIN)/python -m benchmarks.engine

bench-resume: $(STAMP) ## how soon a run of a million clips goes on, into benchmarks/results/resume.csv
	$(BIN)/python -m benchmarks.resume

bench-checkpoints: $(STAMP) ## what a checkpoint costs, into benchmarks/results/checkpoints.csv
	$(BIN)/python -m benchmarks.checkpoints

bench-submit: $(STAMP) ## a million rows written and checked, and pandas beside, into benchmarks/results/submit.csv
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.submit

bench-ops: $(STAMP) ## the operators beside copies and plain PyTorch, into benchmarks/results/ops.csv
	$(BIN)/python -m benchmarks.ops

bench-models: $(STAMP) ## TIN beside TSN, into benchmarks/results/models.csv
	$(BIN)/python -m benchmarks.models

bench-runtimes: $(STAMP) ## tests beside those of the tinkit in BEFORE=FOLDER, into benchmarks/results/runtimes.csv
	$(BIN)/python -m benchmarks.runtimes --threads 1
	$(BIN)/python -m benchmarks.runtimes

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

gpu-wheels: ## what a GPU machine without a package index lacks, for CPython 3.12 on x86-64, into gpu-wheels/ or WHEELS
	$(PYTHON) -m benchmarks.gpu_wheels gather $(or $(WHEELS),gpu-wheels)

# With WHEELS the packages are those of PYTHON, which holds PyTorch, and of the wheels: neither .venv nor an index.
gpu: $(if $(WHEELS),,$(STAMP)) ## on a CUDA device: tests, compute-sanitizer, benchmark, into benchmarks/results/gpu*
	WHEELS=$(WHEELS) bash benchmarks/gpu.sh $(if $(WHEELS),$(PYTHON),$(BIN)/python)

clean: ## remove what the demo and the tests leave
	rm -rf demo build dist mutants docs/api .pytest_cache .mypy_cache .ruff_cache
