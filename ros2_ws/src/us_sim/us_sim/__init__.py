"""A simulated ultrasound probe: `core` is free of ROS, `ros` holds the node."""

from us_sim.core.compute.process import settle

settle()  # before anything imports torch; see there for what it changes and how to switch it off
