"""Fault tests of a service. They run in a generated project, as its tests/faults.

tests/template/test_faults.py copies them there, with tests/package/proxy.py.
"""
