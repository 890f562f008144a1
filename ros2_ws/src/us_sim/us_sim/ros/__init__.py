"""The node and its programs: ROS messages in metres. Its clients live in client, viewer, control and bringup."""
