"""Energy of operations, and the calibration of a machine."""
