"""The world outside: the only modules that open sockets, read clocks, draw random numbers or wait."""
