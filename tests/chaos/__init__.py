"""Breaks everything that runs, under load, and checks that no acknowledged job was lost or recorded twice.

    python -m tests.chaos --seconds 120 --seed 1 --db sqlite|postgres [--control rq]
"""
