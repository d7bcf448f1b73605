"""The models of this machine: found, listed, described, pulled."""
