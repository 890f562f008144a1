"""How things are computed: device, processor cores, compiled kernels, the lattice of smooth fields."""
