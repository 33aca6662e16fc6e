"""A Router in the worst of company: threads, event loops, forks, the garbage collector, upstreams that say anything."""
