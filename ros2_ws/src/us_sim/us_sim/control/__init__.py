"""Demo controllers: clients of the simulator as a robot's controller is one. Starting points, not medical devices."""
