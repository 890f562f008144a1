"""Rendering without ROS: replay of trajectories, contact sheets, films and datasets (`us_sim_render`)."""
