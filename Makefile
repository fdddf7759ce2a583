# make score   install, make a synthetic patient, score it
# make test    install, run every check and test
# Needs Python 3.10 to 3.12, git and make. Another Python: make score PYTHON=python3.12

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SAMPLE := out/sample-scan
RESULT := out/sample
STAMP  := $(VENV)/.stamps
# --no-compile: most of what is installed is never imported; Python compiles the rest when it is.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt

.PHONY: score test lint clean

score: $(STAMP)/scene $(SAMPLE)
	@echo "Scoring the sample scan: a synthetic patient made by this project (gated protocol, seed 7), no real person."
	@$(BIN)/cacscoring score $(SAMPLE) --output $(RESULT)

test: $(STAMP)/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n 2 --quiet

# A stamp is as new as the files that say what to install; code changes need no new installation (-e).
$(STAMP)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' || \
	  { echo "$(PYTHON) is not Python 3.10, 3.11 or 3.12: give one with PYTHON=..."; exit 1; }
	@echo "Making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMP) && touch $@

$(STAMP)/scene: $(STAMP)/venv pyproject.toml constraints.txt
	@echo "Installing CACScoring; the first time this takes some minutes"
	@$(INSTALL) -e ".[scene]"
	@touch $@

$(STAMP)/test: $(STAMP)/scene
	@echo "Installing what the tests need"
	@$(INSTALL) -e ".[test]"
	@touch $@

$(SAMPLE): | $(STAMP)/scene
	@rm -rf $@.part
	@$(BIN)/cacscoring phantom --protocol gated --seed 7 --output $@.part --quiet
	@mv $@.part $@

clean:
	rm -rf $(VENV) out .pytest_cache .ruff_cache .hypothesis build dist
