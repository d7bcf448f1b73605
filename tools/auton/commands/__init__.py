"""The commands of ``auton``, a module each."""
