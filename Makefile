.PHONY: setup demo test serve check clean

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
OUT := out
setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[aedat,eval,export,plot,sim,train,dev]'
	touch $@

demo: setup
	@mkdir -p $(OUT)
	$(BIN)/spikewatch detect service/assets/street_td.dat --hop 1 \
	  --out $(OUT)/street.mp4 --out $(OUT)/street.ndjson

# waiting threads give way: two processes on two cores would otherwise spin against each other
test: export OMP_WAIT_POLICY ?= passive
test: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/check

serve: setup
	$(BIN)/spikewatch serve --log-text

clean:
	rm -rf $(VENV) $(OUT) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
