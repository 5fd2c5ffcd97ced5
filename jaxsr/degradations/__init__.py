"""Degradations: functions of (key, hq) that return lq."""
