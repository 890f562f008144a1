"""The ROS 2 side: the only room that imports rclpy, and the only one in metres."""
