"""The trio actors. Only ``actors.system`` sees them all."""
