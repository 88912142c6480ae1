.PHONY: setup demo test test-all docs bench serve clean

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
OUT := out
results = --out benchmarks/results/$(1).md --out benchmarks/results/$(1).json --out benchmarks/results/$(1).png
setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[aedat,docs,eval,export,mcap,mqtt,plot,power,sim,train,dev]'
	touch $@

demo: setup
	@mkdir -p $(OUT)
	$(BIN)/spikewatch detect service/assets/street_td.dat --hop 1 \
	  --out $(OUT)/street.mp4 --out $(OUT)/street.ndjson

# waiting threads give way: two processes on two cores would otherwise spin against each other
test test-all: export OMP_WAIT_POLICY ?= passive
test: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/check

test-all: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/check --all

docs: setup
	$(BIN)/mkdocs build --strict

bench: setup
	@mkdir -p benchmarks/results
	$(BIN)/spikewatch bench ingest $(call results,ingest)
	$(BIN)/spikewatch bench model --scales default --engines $(call results,model_default)
	$(BIN)/spikewatch bench model --scales n,s $(call results,model_n_s)
	$(BIN)/spikewatch bench model --scales t --size 512x640 --batches 1 $(call results,model_512x640)
	$(BIN)/python -m benchmarks.profile --out benchmarks/results/profile.md
	$(BIN)/spikewatch bench service $(call results,websocket)
	$(BIN)/spikewatch bench service --transport rest $(call results,rest)

serve: setup
	$(BIN)/spikewatch serve --log-text

clean:
	rm -rf $(VENV) $(OUT) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
