"""A fake cloud to try things on: regions behind real sockets, faults on demand, traffic with real statistics."""
