"""Fault injectors for tests of a whole server: failing system calls, disks, resource limits, wrong clocks.

Each works on processes and files from the outside, ours or another server's. Where a program is missing or
the kernel refuses, the test is skipped with a reason of kind ``absent`` or ``forbidden``.
"""
