# Two commands do everything on a fresh machine: `make train` and `make test`.
PYTHON := .venv/bin/python
CONFIG ?= configs/tiny_cpu.yaml

.PHONY: setup setup-dev train test lint check-tasks bench clean

setup:
	./setup.sh

setup-dev:
	./setup.sh --dev --vllm --openhands --docker

train: setup
	$(PYTHON) tac_rl/train.py --config $(CONFIG)

test: setup-dev lint
	$(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint:
	.venv/bin/ruff check .
	.venv/bin/mypy

check-tasks:
	$(PYTHON) -m tac_rl.tasks check

bench:
	$(PYTHON) bench/all.py

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache
