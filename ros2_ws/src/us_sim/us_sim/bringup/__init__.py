"""Starting several processes: arguments, `make sim`, and programs that measure a running system."""
