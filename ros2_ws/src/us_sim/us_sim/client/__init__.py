"""What every client of the node shares: frames matched by stamp, recordings of sweeps."""
