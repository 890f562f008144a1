"""Rigid transforms and probe geometry: frames `ct` and `probe`, fans, pixel and scan-line grids, in mm."""
