"""One verb a file: it gathers what it needs, calls, and returns a result; it prints nothing but progress."""

from __future__ import annotations
