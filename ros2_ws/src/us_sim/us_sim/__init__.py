"""A simulated ultrasound probe: `core` is free of ROS, `ros` holds the node."""
