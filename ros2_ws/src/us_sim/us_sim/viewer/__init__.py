"""The browser view: a ROS client like any other. The node `us_sim` knows nothing of it."""
