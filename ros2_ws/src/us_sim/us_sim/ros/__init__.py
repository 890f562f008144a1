"""The ROS 2 side of the simulator, in metres and radians: its node, what it sends, and the programs that feed it.

The rooms client, viewer, control and bringup import rclpy as well; the core and the programs without ROS never do.
"""
