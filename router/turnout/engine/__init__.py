"""The attempt engine: pure judgement, and one coroutine that waits only through an injected port."""
