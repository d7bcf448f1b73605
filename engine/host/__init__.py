"""The machine and its system: processor, memory, disks, files, processes, the service manager."""
