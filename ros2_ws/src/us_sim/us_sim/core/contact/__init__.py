"""Probe–skin contact: coupling, indentation, tissue deformation, force and torque."""
