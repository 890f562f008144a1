"""The node `us_sim` and the ROS 2 programs around it; messages are in metres, converted in `conversions`."""
