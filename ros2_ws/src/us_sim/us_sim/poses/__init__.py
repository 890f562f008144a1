"""Recorded poses, read without ROS: CSV, MCAP and rosbag2."""
