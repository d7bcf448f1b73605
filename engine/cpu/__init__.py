"""The backend: models loaded into memory and run by the C++ loop."""
