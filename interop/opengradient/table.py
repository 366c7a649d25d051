"""Rows with a name each, one after the other, and a table at the end."""

import asyncio
import inspect
import time
import traceback


class Rows:
    def __init__(self):
        self.rows = []

    def run(self, name, check):
        """Runs a check. What it returns is printed beside its name; what it raises makes the row red."""
        started = time.monotonic()
        try:
            said = check()
            if inspect.isawaitable(said):
                said = asyncio.run(said)
            ok = True
        except Exception as error:  # noqa: BLE001 - the row says what it was
            # The place, and the end of what it says: SDK errors carry whole 402s.
            last = traceback.extract_tb(error.__traceback__)[-1]
            print(f"{name}: {last.filename}:{last.lineno}: {type(error).__name__}: {str(error)[-2000:]}", flush=True)
            ok, said = False, type(error).__name__
        said = " ".join(str(said or "").split())
        self.rows.append((ok, name, said))
        print(f"{'ok ' if ok else 'RED'} {name:<34} {time.monotonic() - started:5.1f} s  {said[:150]}", flush=True)

    def end(self):
        """Exits with 1 where a row is red, or where there is none."""
        red = [name for ok, name, _ in self.rows if not ok]
        print(f"\n{len(self.rows) - len(red)} of {len(self.rows)} rows are ok" + (f"; red: {', '.join(red)}" if red else ""))
        raise SystemExit(1 if red or not self.rows else 0)
