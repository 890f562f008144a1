"""`python -m us_sim.bench`: the command `make bench`."""

from us_sim.bench.suite import main

if __name__ == "__main__":
    raise SystemExit(main())
